"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Return the course of values as bars, from the smallest to the largest of them.

    A NaN leaves a gap; infinities are as high or low as the bars go. More values than there is room
    for are averaged, neighbour with neighbour.

    Args:
        values: In their order.
        width: How many bars at most.

    Example:
        >>> sparkline([0.9, 0.5, 0.3, 0.2, 0.4])
        '█▄▂▁▃'
    """
    means = [_mean(bucket) for bucket in _buckets(values, width)]
    finite = [value for value in means if math.isfinite(value)]
    lowest, highest = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_bar(value, lowest, highest) for value in means)


def _buckets(values: Sequence[float], width: int) -> list[Sequence[float]]:
    count = min(len(values), width)
    ends = [len(values) * i // count for i in range(count + 1)] if count else []
    return [values[start:end] for start, end in pairwise(ends)]


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    # Divided first: the sum of large numbers is infinite.
    return sum(value / len(numbers) for value in numbers) if numbers else math.nan


def _bar(value: float, lowest: float, highest: float) -> str:
    if math.isnan(value):
        return " "
    if math.isinf(value):
        return _BARS[-1 if value > 0 else 0]
    if lowest == highest:
        return _BARS[len(_BARS) // 2 - 1]
    # Halved, because the distance between two numbers may be infinite.
    height = (value / 2 - lowest / 2) / (highest / 2 - lowest / 2) if highest > lowest else 0.0
    return _BARS[min(int(height * len(_BARS)), len(_BARS) - 1)]
