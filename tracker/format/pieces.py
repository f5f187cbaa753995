"""What lies in one place of a tensor file: a whole tensor, or one of the boxes it consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tracker.types import TensorEntry


class Piece(NamedTuple):
    """A tensor, or a part of one, where it lies.

    Attributes:
        name: The tensor's name.
        dtype: Its dtype.
        file: The file.
        tensor: What it is called there.
        shape: Its shape there.
        digest: Of its bytes.
        offset: Where it begins in the tensor.
    """

    name: str
    dtype: str
    file: str
    tensor: str
    shape: tuple[int, ...]
    digest: str
    offset: tuple[int, ...]


def pieces_of(name: str, entry: TensorEntry) -> list[Piece]:
    """Return what a stored tensor consists of: itself, or its parts."""
    if not entry.parts:
        where = (entry.file, entry.tensor or name, entry.shape, entry.digest)
        return [Piece(name, entry.dtype, *where, (0,) * len(entry.shape))]
    return [
        Piece(name, entry.dtype, p.file, p.tensor or name, p.shape, p.digest, p.offset)
        for p in entry.parts
    ]


def all_pieces(entries: Mapping[str, TensorEntry]) -> Iterator[Piece]:
    """Yield what the stored tensors of a group consist of."""
    for name, entry in entries.items():
        if entry.same_as is None:
            yield from pieces_of(name, entry)
