"""Compares the weights of two checkpoints, tensor by tensor.

Digests decide what is equal, so equal tensors are not read; of the others one pair is looked at at
a time, a piece at a time, in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from tracker.format import StoredCheckpoint
from tracker.format.memory import bytes_of
from tracker.loading.checkpoint_diff import TensorChange
from tracker.types import TensorEntry

_GROUP = "model"
_PIECE = 1 << 20
"""Numbers that are converted at once."""


def compare_tensors(a: StoredCheckpoint, b: StoredCheckpoint) -> Iterator[TensorChange]:
    """Yield what became of every tensor of the state_dict, in A's order, then those only in B.

    Raises:
        CorruptCheckpointError: The bytes of a tensor that changed are not those that were written.
        NotFoundError: The file of an earlier checkpoint that holds one is gone.
    """
    before, after = (stored.manifest.tensors.get(_GROUP, {}) for stored in (a, b))
    for name in {**before, **after}:
        yield _compared(name, before.get(name), after.get(name), a, b)


def _compared(
    name: str,
    before: TensorEntry | None,
    after: TensorEntry | None,
    a: StoredCheckpoint,
    b: StoredCheckpoint,
) -> TensorChange:
    shown_before, shown_after = _shown(before), _shown(after)
    if before is None:
        return TensorChange(name, "only in B", None, shown_after)
    if after is None:
        return TensorChange(name, "only in A", shown_before, None)
    if before.shape != after.shape:
        return TensorChange(name, "other shape", shown_before, shown_after)
    if _content(before) == _content(after):
        return TensorChange(name, "equal", shown_before, shown_after)
    one, other = a.tensor(_GROUP, name), b.tensor(_GROUP, name)
    if (before.parts or after.parts) and before.dtype == after.dtype and _is_same(one, other):
        return TensorChange(name, "equal", shown_before, shown_after)
    difference = relative_difference(one, other)
    return TensorChange(name, "changed", shown_before, shown_after, difference)


def _content(entry: TensorEntry) -> tuple[object, ...]:
    """Return what two tensors have in common that are known to be equal."""
    return entry.dtype, entry.digest, [(p.offset, p.shape, p.digest) for p in entry.parts]


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors, stored in different parts, have the same bytes."""
    return bytes_of(one, "") == bytes_of(other, "")


def _shown(entry: TensorEntry | None) -> str | None:
    return None if entry is None else f"{entry.dtype} {list(entry.shape)}"


def relative_difference(a: Tensor, b: Tensor) -> float:
    """Return the Euclidean norm of ``b - a`` relative to that of ``a``.

    Args:
        a: A tensor.
        b: One of the same shape; its dtype may be another.

    Returns:
        0 where no number differs; infinity where ``a`` is all zeros and ``b`` is not; NaN where a
        number of either is NaN, or both are infinite at the same place.

    Example:
        >>> relative_difference(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5]))
        0.1
    """
    ones, others = a.detach().reshape(-1), b.detach().reshape(-1)
    difference = norm = 0.0
    for start in range(0, ones.numel(), _PIECE):
        one, other = (_wide(flat[start : start + _PIECE]) for flat in (ones, others))
        difference += _squares(other - one)
        norm += _squares(one)
    if norm == 0:
        return difference if difference == 0 or math.isnan(difference) else math.inf
    return math.sqrt(difference) / math.sqrt(norm)


def _wide(numbers: Tensor) -> Tensor:
    if numbers.is_complex():
        return numbers.to(torch.complex128)
    # torch converts the dtypes of one byte to float32 alone.
    narrow = numbers.is_floating_point() and numbers.dtype.itemsize == 1
    return (numbers.to(torch.float32) if narrow else numbers).to(torch.float64)


def _squares(numbers: Tensor) -> float:
    return float(numbers.abs().square().sum())
