"""Tensors that consist of parts: boxes, each written by another process of a distributed training.

The boxes of a tensor fill it: each of its elements is in exactly one. How they are cut is how the
training was spread, and nothing that a reader needs to know: it takes from them what it wants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import prod
from typing import TypeAlias

from tracker.errors import FormatError
from tracker.format.fields import Field
from tracker.format.layout import check_file_name
from tracker.types import FileEntry, Json, TensorEntry, TensorPart

Offset: TypeAlias = tuple[int, ...]
Shape: TypeAlias = tuple[int, ...]
Box: TypeAlias = tuple[Offset, Shape]
"""Where it begins in its tensor, and its shape."""

_MOST_CELLS = 1 << 20
"""Into which the cuts of all boxes divide a tensor; more than any training has processes."""


def write_part(part: TensorPart) -> Json:
    """Return a part of a tensor as JSON."""
    written: dict[str, Json] = {
        "offset": list(part.offset),
        "shape": list(part.shape),
        "digest": part.digest,
        "file": part.file,
    }
    return written if part.tensor is None else {**written, "tensor": part.tensor}


def read_part(field: Field) -> TensorPart:
    """Return the part of a tensor that a field holds."""
    return TensorPart(
        offset=field.at("offset").shape(),
        shape=field.at("shape").shape(),
        digest=field.at("digest").digest(),
        file=check_file_name(field.at("file").text(), f"{field.where}: {field.path}"),
        tensor=field.get("tensor").optional(Field.text),
    )


def check_parts(entry: TensorEntry, files: Mapping[str, FileEntry], path: str) -> None:
    """Refuse parts that don't fill their tensor, or are in no file of the checkpoint.

    Raises:
        FormatError: They don't; ``path`` says of which tensor.
    """
    for part in entry.parts:
        if part.file not in files:
            raise FormatError(f"{path}: the file {part.file!r} of a part is not in files.")
    problem = misfit(entry.shape, [(part.offset, part.shape) for part in entry.parts])
    if problem:
        raise FormatError(f"{path}: {problem}.")


def misfit(shape: Shape, boxes: Sequence[Box]) -> str:
    """Return in words why boxes do not fill a tensor of ``shape``, each element once; else "".

    Example:
        >>> misfit((4, 3), [((0, 0), (2, 3)), ((2, 0), (2, 3))])
        ''
        >>> misfit((4, 3), [((0, 0), (2, 3))])
        'its parts have 6 of its 12 elements'
    """
    for offset, lengths in boxes:
        if len(offset) != len(shape) or len(lengths) != len(shape):
            return f"a part has {len(lengths)} dimensions, and it {len(shape)}"
        if any(o + n > size for o, n, size in zip(offset, lengths, shape, strict=True)):
            return f"the part of shape {[*lengths]} at {[*offset]} is not inside of {[*shape]}"
    there = sum(prod(lengths) for _, lengths in boxes)
    if there != prod(shape):
        return f"its parts have {there} of its {prod(shape)} elements"
    return _overlap(boxes)


def _overlap(boxes: Sequence[Box]) -> str:
    """Return which of several boxes overlap, in words."""
    dimensions = range(len(boxes[0][0])) if boxes else ()
    cuts = [
        sorted({edge for o, n in boxes for edge in (o[axis], o[axis] + n[axis])})
        for axis in dimensions
    ]
    if prod(max(len(edges) - 1, 1) for edges in cuts) > _MOST_CELLS:
        return f"its {len(boxes)} parts cut it into more than {_MOST_CELLS} pieces"
    number = [{edge: index for index, edge in enumerate(edges)} for edges in cuts]
    taken: set[tuple[int, ...]] = set()
    for offset, lengths in boxes:
        ranges = [
            range(known[o], known[o + n])
            for known, o, n in zip(number, offset, lengths, strict=True)
        ]
        for cell in product(*ranges):
            if cell in taken:
                return f"the part of shape {[*lengths]} at {[*offset]} overlaps another"
            taken.add(cell)
    return ""


def overlapping(parts: Iterable[TensorPart], box: Box) -> list[tuple[TensorPart, Box]]:
    """Return the parts that have something of a box, each with what both have in common.

    Example:
        >>> [common for _, common in overlapping(entry.parts, ((2,), (4,)))]
        [((2,), (1,)), ((3,), (3,))]
    """
    offset, lengths = box
    found: list[tuple[TensorPart, Box]] = []
    for part in parts:
        first = tuple(map(max, offset, part.offset))
        last = tuple(
            min(o + n, p + m)
            for o, n, p, m in zip(offset, lengths, part.offset, part.shape, strict=True)
        )
        if all(begin < end for begin, end in zip(first, last, strict=True)):
            common = tuple(end - begin for begin, end in zip(first, last, strict=True))
            found.append((part, (first, common)))
    return found


def within(box: Box, outer: Offset) -> tuple[slice, ...]:
    """Return the index of a box in a tensor that begins at ``outer``.

    Example:
        >>> within(((3, 0), (2, 5)), (2, 0))
        (slice(1, 3, None), slice(0, 5, None))
    """
    offset, lengths = box
    return tuple(
        slice(o - begin, o - begin + n) for o, n, begin in zip(offset, lengths, outer, strict=True)
    )
