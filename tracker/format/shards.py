"""What one process of a distributed training writes of a checkpoint, and what all wrote together.

Each writes its own files into one directory; the manifest, which one of them writes last, lists
all. The files are such as ``torch.distributed.checkpoint`` writes with its safetensors storage: a
tensor's name stands in several, and each says in its header where its part begins. So torch's
``HuggingFaceStorageReader`` reads them, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from tracker.errors import FormatError
from tracker.format.canonical import dumps
from tracker.format.commit import make_directories, undone_on_failure
from tracker.format.entries import read_file_entry, read_tensor, write_file_entry, write_tensor
from tracker.format.fields import Field
from tracker.format.files import replacing, sync_directory
from tracker.format.layout import shard_file
from tracker.format.parts import Box
from tracker.format.tensors import plan_tensors, tensor_digests, write_tensors
from tracker.types import FileEntry, Json, TensorEntry, TensorPart

_OFFSETS = "DCP_SHARDING_INFO"
"""Where torch.distributed.checkpoint looks in a file's header for the offsets of its tensors."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A box of a tensor that one process holds.

    Attributes:
        name: The tensor's name in its group.
        shape: The shape of the whole tensor.
        box: Where the box begins in it, and the box's shape.
        tensor: The box, contiguous.
    """

    name: str
    shape: tuple[int, ...]
    box: Box
    tensor: Tensor


@dataclass(frozen=True, slots=True)
class Placed:
    """Files of tensors that lie in a checkpoint's directory already.

    Attributes:
        files: Each by name.
        tensors: What they hold, by group and name. A tensor of which they hold only some boxes has
            these as parts.
    """

    files: Mapping[str, FileEntry] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, TensorEntry]] = field(default_factory=dict)


def write_shards(
    directory: Path,
    rank: int,
    shards: Mapping[str, Sequence[Shard]],
    own: Mapping[str, Mapping[str, Tensor]],
) -> Placed:
    """Write what one process holds; when this returns, it is on the disk.

    When it raises, the files that it made are gone.

    Args:
        directory: The checkpoint's directory.
        rank: The process.
        shards: Its boxes of tensors, by group.
        own: Whole tensors of its own, by group and name.

    Raises:
        UnstorableError: A tensor has no place in the format; nothing was written.
        StorageError: The disk refused.
    """
    files: dict[str, FileEntry] = {}
    tensors: dict[str, dict[str, TensorEntry]] = {}
    with undone_on_failure() as made:
        make_directories(directory, [], made)
        for group in sorted({*shards, *own}):
            boxes = _named(shards.get(group, ()))
            held = {**own.get(group, {}), **{name: shard.tensor for name, shard in boxes.items()}}
            if not held:
                continue
            file = shard_file(group, rank)
            files[file], digests = _write(directory / file, held, boxes, made)
            tensors[group] = {
                name: TensorEntry(_dtype(tensor), tuple(tensor.shape), digests[name], file)
                for name, tensor in own.get(group, {}).items()
            }
            for name, shard in boxes.items():
                _add_part(tensors[group], shard, name, digests[name], file)
        sync_directory(directory)
    return Placed(files, tensors)


def _named(shards: Sequence[Shard]) -> dict[str, Shard]:
    """Return boxes by their names in a file, which are the tensors' where there is one of each."""
    named: dict[str, Shard] = {}
    for shard in shards:
        name, count = shard.name, 1
        while name in named:
            count += 1
            name = f"{shard.name}#{count}"
        named[name] = shard
    return named


def _write(
    path: Path, tensors: Mapping[str, Tensor], boxes: Mapping[str, Shard], made: list[Path]
) -> tuple[FileEntry, dict[str, str]]:
    """Write a file, and hash what goes into it meanwhile."""
    metadata = {"format": "pt", "DCP_VERSION": "1.0", _OFFSETS: _offsets(tensors, boxes)}
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tracker-digest") as hasher:
        digests = hasher.submit(tensor_digests, tensors)
        with replacing(path, plan_tensors(tensors, metadata).size) as file:
            entry = write_tensors(file, tensors, metadata=metadata)
        made.append(path)
        return entry, digests.result()


def _offsets(tensors: Mapping[str, Tensor], boxes: Mapping[str, Shard]) -> str:
    offsets: dict[str, Json] = {}
    for name, tensor in tensors.items():
        offset = boxes[name].box[0] if name in boxes else (0,) * tensor.dim()
        offsets[name] = {"saved_offsets": [*offset]}
    return dumps(offsets).decode()


def _add_part(
    entries: dict[str, TensorEntry], shard: Shard, name: str, digest: str, file: str
) -> None:
    part = TensorPart(*shard.box, digest, file, None if name == shard.name else name)
    before = entries.get(shard.name)
    whole = before or TensorEntry(_dtype(shard.tensor), shard.shape, "", "")
    entries[shard.name] = replace(whole, parts=(*whole.parts, part))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def joined(placed: Iterable[Placed], ties: Mapping[str, Mapping[str, str]]) -> Placed:
    """Return what several processes have written, as one.

    Args:
        placed: What each has written.
        ties: By group and name, the other names of tensors: under which the tensor is stored.

    Raises:
        FormatError: Two have written a file or tensor of one name.
    """
    files: dict[str, FileEntry] = {}
    tensors: dict[str, dict[str, TensorEntry]] = {}
    for each in placed:
        for file, entry in each.files.items():
            if file in files:
                raise FormatError(f"Two processes have written {file}.")
            files[file] = entry
        for group, entries in each.tensors.items():
            for name, tensor in entries.items():
                here = tensors.setdefault(group, {})
                here[name] = _both(here.get(name), tensor, name)
    for group, names in ties.items():
        entries = tensors.get(group, {})
        for name, stored in names.items():
            if stored in entries:
                entries[name] = replace(entries[stored], same_as=stored)
    return Placed(files, tensors)


def _both(one: TensorEntry | None, other: TensorEntry, name: str) -> TensorEntry:
    if one is None:
        return other
    if not (one.parts and other.parts) or (one.dtype, one.shape) != (other.dtype, other.shape):
        raise FormatError(f"Two processes have written different tensors {name!r}.")
    parts = sorted((*one.parts, *other.parts), key=lambda part: (part.offset, part.file))
    return replace(one, parts=tuple(parts))


def placed_to_json(placed: Placed) -> Json:
    """Return what a process has written as JSON, to be told to another."""
    return {
        "files": {name: write_file_entry(entry) for name, entry in placed.files.items()},
        "tensors": {
            group: {name: write_tensor(entry) for name, entry in entries.items()}
            for group, entries in placed.tensors.items()
        },
    }


def placed_from_json(data: Json, where: str) -> Placed:
    """Return what another process says that it has written.

    Raises:
        FormatError: It says something else.
    """
    root = Field(data, where)
    return Placed(
        {name: read_file_entry(name, entry) for name, entry in root.at("files").members()},
        {
            group: {name: read_tensor(entry) for name, entry in entries.members()}
            for group, entries in root.at("tensors").members()
        },
    )
