"""Writing a checkpoint directory: every file whole under its name, the manifest last."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from tracker.errors import StorageError
from tracker.format.commit import (
    Written,
    check_new_file,
    commit,
    make_directories,
    undone_on_failure,
    write_file,
)
from tracker.format.files import replacing
from tracker.format.layout import MANIFEST, tensor_file
from tracker.format.manifest import Manifest, SourceEntry
from tracker.format.tensors import plan_tensors, write_tensors
from tracker.types import Architecture, FileEntry, Json, TensorEntry

METADATA = {"format": "pt"}
"""In the header of every tensor file: other libraries want to know that torch wrote it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a checkpoint is to hold; `Manifest` explains the fields it shares.

    Attributes:
        tensors: The tensors by group and name. The same tensor object under two names of a group
            is stored once and read as one.
        source: Archived source, each entry with its bytes.
        extra_files: Other files by name, for example ``MLmodel``.
    """

    name: str
    run_id: str
    created_at: int
    architecture: Architecture
    epoch: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    state_values: Json = field(default_factory=dict)
    training: Json = None
    environment: Mapping[str, Json] = field(default_factory=dict)
    example: Json = None
    source: Sequence[tuple[SourceEntry, bytes]] = ()
    extra_files: Mapping[str, bytes] = field(default_factory=dict)


def write_checkpoint(directory: Path, content: Content) -> Written:
    """Write a checkpoint into ``directory``, which is created if it is not there.

    When this returns, everything is on the disk. When it raises, the files and directories that it
    made are gone. When the process dies, there is no ``checkpoint.json``.

    Args:
        directory: Where to; it must not hold a checkpoint yet.
        content: What to write. Its tensors must not change until this returns.

    Raises:
        UnstorableError: A tensor or value has no place in the format; nothing was written.
        InvalidArgumentError: Two files have one name, or a name that a checkpoint can't have.
        StorageError: The disk refused, or the directory already holds a checkpoint.

    Example:
        >>> written = write_checkpoint(Path("epoch-6"), content)
        >>> open_checkpoint(Path("epoch-6"), manifest_digest=written.manifest_digest)
    """
    plain_files = _plain_files(content)
    stored = {group: _stored_names(named) for group, named in content.tensors.items() if named}
    for group, names in stored.items():
        _check_tensors(content.tensors[group], names)
    if os.path.exists(directory / MANIFEST):
        raise StorageError(
            f"{directory}: already holds a checkpoint, which is never changed; "
            "write into another directory."
        )
    with undone_on_failure() as made:
        make_directories(directory, plain_files, made)
        files: dict[str, FileEntry] = {}
        tensors: dict[str, dict[str, TensorEntry]] = {}
        for group, names in stored.items():
            named, file = content.tensors[group], tensor_file(group)
            files[file], digests = _write_group(directory / file, named, names, made)
            tensors[group] = _entries(named, names, digests, file)
        for name, data in plain_files.items():
            files[name] = write_file(directory / name, data, made)
        return commit(directory, _manifest(content, tensors, files), made)


def _manifest(
    content: Content,
    tensors: Mapping[str, Mapping[str, TensorEntry]],
    files: Mapping[str, FileEntry],
) -> Manifest:
    return Manifest(
        name=content.name,
        run_id=content.run_id,
        created_at=content.created_at,
        epoch=content.epoch,
        step=content.step,
        metrics=content.metrics,
        tags=content.tags,
        architecture=content.architecture,
        tensors=tensors,
        state_values=content.state_values,
        training=content.training,
        files=files,
        source=tuple(entry for entry, _ in content.source),
        environment=content.environment,
        example=content.example,
    )


def _plain_files(content: Content) -> dict[str, bytes]:
    """Return the files that are not tensors, each name checked and used once."""
    taken = {tensor_file(group) for group in content.tensors}
    files: dict[str, bytes] = {}
    named = [(entry.file, data) for entry, data in content.source]
    for name, data in (*named, *content.extra_files.items()):
        check_new_file(name, taken)
        taken.add(name)
        files[name] = data
    return files


def _stored_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return, for each name, the name under which its tensor is stored."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


def _check_tensors(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Refuse before anything is written."""
    plan_tensors({name: tensors[name] for name in set(names.values())}, METADATA)


def _write_group(
    path: Path, tensors: Mapping[str, Tensor], names: Mapping[str, str], made: list[Path]
) -> tuple[FileEntry, Mapping[str, str]]:
    stored = {name: tensors[name] for name in names if names[name] == name}
    size = plan_tensors(stored, METADATA).size
    with replacing(path, size) as file:
        written = write_tensors(file, stored, metadata=METADATA)
    made.append(path)
    return written.entry, written.digests


def _entries(
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    digests: Mapping[str, str],
    file: str,
) -> dict[str, TensorEntry]:
    return {
        name: TensorEntry(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            digest=digests[names[name]],
            file=file,
            same_as=names[name] if names[name] != name else None,
        )
        for name, tensor in tensors.items()
    }
