"""Compares two outputs of a model, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from tracker.types import Comparison

Parts: TypeAlias = Sequence[tuple[str, Any]]


_PRECISIONS = {
    float: (torch.float64, torch.float32),
    complex: (torch.complex128, torch.complex64),
}
"""How Python's numbers are compared: those of a model are mostly made of single precision."""


def compare(expected: Parts, actual: Parts, *, values: bool = True) -> Comparison:
    """Compare the parts of two outputs.

    Args:
        expected: What was logged.
        actual: What the model gives now.
        values: Whether values count, or only dtypes and shapes.

    Example:
        >>> compare([("output", 1.0)], [("output", 1.5)]).verdict
        'different'
    """
    paths, now = [path for path, _ in expected], [path for path, _ in actual]
    if paths != now:
        return Comparison("different", reason=_other_paths(paths, now))
    worst = Comparison("identical" if values else "same shapes")
    for (path, old), (_, new) in zip(expected, actual, strict=True):
        found = _compare_part(path, old, new, values=values)
        if _rank(found) > _rank(worst):
            worst = found
    return worst


def _rank(comparison: Comparison) -> tuple[int, float]:
    order = ("identical", "same shapes", "within tolerance", "different")
    gap = comparison.difference
    return order.index(comparison.verdict), float("inf") if gap is None else gap


def _compare_part(path: str, old: Any, new: Any, *, values: bool) -> Comparison:
    if kind_of(old) != kind_of(new):
        reason = f"{path} is {kind_of(new)} and was {kind_of(old)}"
        return Comparison("different", path, reason=reason)
    if not values:
        return Comparison("same shapes")
    if isinstance(old, Tensor):
        return _compare_tensors(path, old, new)
    if type(old) is float or type(old) is complex:
        wide, narrow = _PRECISIONS[type(old)]
        a, b = (torch.tensor(value, dtype=wide) for value in (old, new))
        return _compare_tensors(path, a, b, narrow)
    if old == new:
        return Comparison("identical")
    return Comparison("different", path, reason=f"{path} is {new!r:.80} and was {old!r:.80}")


def kind_of(value: Any) -> str:
    """Return what values that can be compared have in common, for people."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a tensor of {dtype} {list(value.shape)}"
    return "None" if value is None else f"of type {type(value).__name__}"


def _compare_tensors(
    path: str, old: Tensor, new: Tensor, precision: torch.dtype | None = None
) -> Comparison:
    if torch.equal(_bytes(old), _bytes(new)):
        return Comparison("identical")
    gap, index = _largest_gap(old, new)
    where = f"{path}{index}" if index else path
    kind = precision or old.dtype
    is_close = _is_close(old.to(kind), new.to(kind))
    return Comparison(
        "within tolerance" if is_close else "different",
        where,
        gap,
        f"by {'at most' if is_close else 'up to'} {gap:.3g}, in {where}",
    )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _is_close(old: Tensor, new: Tensor) -> bool:
    try:
        torch.testing.assert_close(new, old, equal_nan=True)
    except AssertionError:
        return False
    return True


def _largest_gap(old: Tensor, new: Tensor) -> tuple[float, list[int]]:
    """Return the largest absolute difference, infinite where one is NaN, and its index."""
    kind = torch.complex128 if old.is_complex() else torch.float64
    a, b = old.to(kind), new.to(kind)
    same = (a == b) | (a.isnan() & b.isnan())
    gaps = torch.where(same, 0.0, (a - b).abs()).nan_to_num(nan=torch.inf, posinf=torch.inf)
    place = torch.unravel_index(gaps.argmax(), gaps.shape) if gaps.ndim else ()
    return float(gaps.max()), [int(i) for i in place]


def _other_paths(expected: list[str], actual: list[str]) -> str:
    missing = [path for path in expected if path not in actual]
    added = [path for path in actual if path not in expected]
    told = [
        f"the output {what} {', '.join(paths[:5])}"
        for what, paths in (("lacks", missing), ("has in addition", added))
        if paths
    ]
    return "; ".join(told) or "the parts of the output come in another order"
