"""Tensor files: written without holding a second copy, read without copying at all."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from tracker.errors import CorruptCheckpointError, FormatError
from tracker.format.digests import digest
from tracker.format.dtypes import StoredDtype, require_little_endian, stored_dtype
from tracker.format.files import opened
from tracker.format.header import Header, parse_header, plan_header, read_header_bytes
from tracker.format.memory import bytes_of, tensor_of
from tracker.types import FileEntry


def plan_tensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Header:
    """Return the header of the file that `write_tensors` would write; nothing is copied.

    Raises:
        UnstorableError: A tensor's dtype or name has no place in the file.
    """
    require_little_endian()
    parts = {
        name: (stored_dtype(tensor, name), tuple(tensor.shape)) for name, tensor in tensors.items()
    }
    return plan_header(parts, metadata or {})


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the digest of every tensor's bytes, by name.

    Large tensors are hashed outside the GIL, so another thread can write them meanwhile.

    Raises:
        UnstorableError: A tensor has no plain bytes.
    """
    return {name: digest(bytes_of(tensor, name)) for name, tensor in tensors.items()}


def write_tensors(
    file: RawIOBase | BinaryIO,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
) -> FileEntry:
    """Write a safetensors file that holds ``tensors``.

    A tensor is copied only if it is not contiguous or not on the CPU, and one copy lives at a time.

    Args:
        file: Where to, from its current position; best unbuffered.
        tensors: By name. A tensor under two names is written twice.
        metadata: Text to keep in the header.

    Returns:
        The file's size, and the digest of its header.

    Raises:
        UnstorableError: A tensor has no plain bytes.
        OSError: The file refused.
    """
    header = plan_tensors(tensors, metadata)
    write_all(file, memoryview(header.encoded))
    for name in header.slots:
        write_all(file, bytes_of(tensors[name], name))
    return FileEntry(header.size, digest(header.encoded))


def write_all(file: RawIOBase | BinaryIO, data: memoryview) -> None:
    """Write every byte: an unbuffered file may take fewer than it was given."""
    while data:
        data = data[file.write(data) or 0 :]


@dataclass(frozen=True, slots=True)
class MappedTensors:
    """A tensor file in memory, mapped, not read.

    Attributes:
        where: Its path, for errors.
        header: Which tensor is where.
        buffer: The mapped file. Writes to it, if it allows them, stay in this process.
    """

    where: str
    header: Header
    buffer: mmap.mmap

    def bytes(self, name: str) -> memoryview:
        """Return the bytes of one tensor."""
        slot, start = self.header.slots[name], len(self.header.encoded)
        return memoryview(self.buffer)[start + slot.begin : start + slot.end]

    def tensor(self, name: str, dtype: StoredDtype, shape: tuple[int, ...]) -> Tensor:
        """Return one tensor as a view of the mapped file.

        Raises:
            FormatError: The container has another dtype or shape for it.
        """
        self.check(name, dtype, shape)
        offset = len(self.header.encoded) + self.header.slots[name].begin
        return tensor_of(self.buffer, offset, dtype, shape, f"{self.where}: tensor {name}")

    def check(self, name: str, dtype: StoredDtype, shape: tuple[int, ...]) -> None:
        """Raise FormatError unless the container has ``name`` with this dtype and shape."""
        slot = self.header.slots[name]
        expected = (dtype.code, dtype.stored_shape(shape))
        if (slot.code, slot.shape) != expected:
            raise FormatError(
                f"{self.where}: tensor {name} is {slot.code} {list(slot.shape)} in the file, but "
                f"the manifest says {expected[0]} {list(expected[1])}."
            )


def map_tensors(
    path: Path, *, writable: bool = True, header_digest: str | None = None
) -> MappedTensors:
    """Map a safetensors file of any writer.

    Args:
        path: The file. It must not be changed in place while its tensors are in use.
        writable: Whether tensors can be made of it. Writing to them copies the page, never the
            file.
        header_digest: The digest that the bytes before its data must have, if it is known.

    Raises:
        CorruptCheckpointError: The header's digest differs.
        FormatError: It is not a whole, consistent safetensors file.
        StorageError: It can't be read.
    """
    require_little_endian()
    where = str(path)
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        encoded = read_header_bytes(file, size, where)
        if header_digest is not None and digest(encoded) != header_digest:
            raise CorruptCheckpointError(
                f"{where}: its header differs from what was written; "
                "copy or download the checkpoint again."
            )
        header = parse_header(encoded, size, where)
        access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
        try:
            buffer = mmap.mmap(file.fileno(), size, access=access)
        except ValueError as error:
            raise CorruptCheckpointError(f"{where}: became shorter while it was read.") from error
        return MappedTensors(where, header, buffer)
