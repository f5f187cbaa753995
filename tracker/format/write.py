"""Writing a checkpoint directory: every file whole under its name, the manifest last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

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
from tracker.format.reuse import (
    KnownTensors,
    StoredTensor,
    candidates,
    file_name,
    find_known,
    samples,
)
from tracker.format.shards import Placed
from tracker.format.tensors import plan_tensors, tensor_digests, write_tensors
from tracker.types import Architecture, FileElsewhere, FileEntry, Json, TensorEntry

METADATA = {"format": "pt"}
"""In the header of every tensor file: other libraries want to know that torch wrote it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a checkpoint is to hold; `Manifest` explains the fields it shares.

    Attributes:
        tensors: The tensors by group and name. The same tensor object under two names of a group
            is stored once and read as one.
        placed: Files of tensors that others have written into the directory.
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
    placed: Placed = field(default_factory=Placed)
    state_values: Json = field(default_factory=dict)
    training: Json = None
    environment: Mapping[str, Json] = field(default_factory=dict)
    example: Json = None
    source: Sequence[tuple[SourceEntry, bytes]] = ()
    extra_files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Group:
    """The tensors of a group.

    Attributes:
        name: The group.
        tensors: All of them.
        stored_as: For each, the name under which its bytes are stored: a tied one has another's.
        stored: Those that are stored.
        candidates: Those of them that an earlier checkpoint may hold.
    """

    name: str
    tensors: Mapping[str, Tensor]
    stored_as: Mapping[str, str]
    stored: Mapping[str, Tensor]
    candidates: Mapping[str, Tensor]

    @property
    def file(self) -> str:
        return tensor_file(self.name)


def write_checkpoint(
    directory: Path, content: Content, *, known: KnownTensors | None = None
) -> Written:
    """Write a checkpoint into ``directory``, which is created if it is not there.

    When this returns, everything is on the disk. When it raises, the files and directories that it
    made are gone. When the process dies, there is no ``checkpoint.json``.

    Args:
        directory: Where to; it must not hold a checkpoint yet.
        content: What to write. Its tensors must not change until this returns.
        known: Tensors that earlier checkpoints of the run hold, as `known_tensors` gives them. Of
            those the manifest only says where they are.

    Raises:
        UnstorableError: A tensor or value has no place in the format; nothing was written.
        InvalidArgumentError: Two files have one name, or a name that a checkpoint can't have.
        StorageError: The disk refused, or the directory already holds a checkpoint.

    Example:
        >>> written = write_checkpoint(Path("epoch-6"), content)
        >>> open_checkpoint(Path("epoch-6"), manifest_digest=written.manifest_digest)
    """
    plain_files = _plain_files(content)
    known = known or {}
    groups = [_group(name, tensors, known) for name, tensors in content.tensors.items() if tensors]
    if os.path.exists(directory / MANIFEST):
        raise StorageError(
            f"{directory}: already holds a checkpoint, which is never changed; "
            "write into another directory."
        )
    files = dict(content.placed.files)
    elsewhere: dict[str, FileElsewhere] = {}
    tensors = {group: dict(entries) for group, entries in content.placed.tensors.items()}
    sampled: dict[str, bytes] = {}
    with undone_on_failure() as made, _hashing(groups) as hashing:
        make_directories(directory, plain_files, made)
        for group in groups:
            of_candidates, of_others = hashing[group.name]
            found = find_known(group.candidates, of_candidates.result(), known)
            own = {name: tensor for name, tensor in group.stored.items() if name not in found}
            if own:
                files[group.file] = _write_tensor_file(directory / group.file, own, made)
            elsewhere |= {file_name(stored.file): stored.file for stored in found.values()}
            digests = of_candidates.result() | of_others.result()
            tensors.setdefault(group.name, {}).update(_entries(group, digests, found))
            sampled |= samples(group.stored, digests)
        for name, data in plain_files.items():
            files[name] = write_file(directory / name, data, made)
        written = commit(directory, _manifest(content, tensors, files, elsewhere), made)
        return replace(written, samples=sampled)


def _group(name: str, tensors: Mapping[str, Tensor], known: KnownTensors) -> _Group:
    """Return a group whose tensors can be stored; refused before anything is written."""
    first: dict[int, str] = {}
    stored_as = {key: first.setdefault(id(tensor), key) for key, tensor in tensors.items()}
    stored = {key: tensors[key] for key in first.values()}
    plan_tensors(stored, METADATA)
    return _Group(name, tensors, stored_as, stored, candidates(stored, known))


_Digests: TypeAlias = Future[dict[str, str]]


@contextlib.contextmanager
def _hashing(groups: Sequence[_Group]) -> Iterator[Mapping[str, tuple[_Digests, _Digests]]]:
    """Hash in a thread of its own: of each group, in their order, the candidates and the others.

    So it is ahead of the writing where that has to know the digests, and beside it elsewhere.
    """
    hasher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tracker-digest")

    def submit(group: _Group) -> tuple[_Digests, _Digests]:
        others = {key: t for key, t in group.stored.items() if key not in group.candidates}
        first = hasher.submit(tensor_digests, group.candidates)
        return first, hasher.submit(tensor_digests, others)

    try:
        yield {group.name: submit(group) for group in groups}
    finally:
        hasher.shutdown(cancel_futures=True)


def _manifest(
    content: Content,
    tensors: Mapping[str, Mapping[str, TensorEntry]],
    files: Mapping[str, FileEntry],
    elsewhere: Mapping[str, FileElsewhere],
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
        elsewhere=elsewhere,
        source=tuple(entry for entry, _ in content.source),
        environment=content.environment,
        example=content.example,
    )


def _plain_files(content: Content) -> dict[str, bytes]:
    """Return the files that are not tensors, each name checked and used once."""
    taken = {tensor_file(group) for group in content.tensors} | content.placed.files.keys()
    files: dict[str, bytes] = {}
    named = [(entry.file, data) for entry, data in content.source]
    for name, data in (*named, *content.extra_files.items()):
        check_new_file(name, taken)
        taken.add(name)
        files[name] = data
    return files


def _write_tensor_file(path: Path, tensors: Mapping[str, Tensor], made: list[Path]) -> FileEntry:
    with replacing(path, plan_tensors(tensors, METADATA).size) as file:
        entry = write_tensors(file, tensors, metadata=METADATA)
    made.append(path)
    return entry


def _entries(
    group: _Group, digests: Mapping[str, str], found: Mapping[str, StoredTensor]
) -> dict[str, TensorEntry]:
    entries: dict[str, TensorEntry] = {}
    for name, tensor in group.tensors.items():
        stored_as = group.stored_as[name]
        known = found.get(stored_as)
        entries[name] = TensorEntry(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            digest=digests[stored_as],
            file=file_name(known.file) if known else group.file,
            same_as=stored_as if stored_as != name else None,
            tensor=known.name if known and known.name != stored_as else None,
        )
    return entries
