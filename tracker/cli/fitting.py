"""Which columns of a table fit in a line, and how wide each may be.

A table too wide for the terminal is first made narrower where that costs least: long texts and
headings are shortened. Then whole columns are left out. A number is never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        heading: What stands above it.
        cells: Its texts, one a row.
        right: Whether they stand at its right edge, as numbers do.
        narrowest: The width to which it may be shortened; 0: not at all.
        rank: The columns of the highest rank are left out first; those of rank 0 never.
    """

    heading: str
    cells: tuple[str, ...]
    right: bool = False
    narrowest: int = 0
    rank: int = 0

    @property
    def width(self) -> int:
        """The width at which nothing of it is shortened."""
        from rich.cells import cell_len

        return max(map(cell_len, (self.heading, *self.cells)))


def fit(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns to show, and the width of each, so that the table is no wider.

    Args:
        columns: All of them; of those with the same rank the last goes first.
        width: Characters of a line.

    Example:
        >>> model = Column("MODEL", ("Net(hidden=384, depth=7)",), narrowest=12)
        >>> [width for _, width in fit([Column("EPOCH", ("6",)), model], 22)]
        [5, 15]
    """
    shown = [(column, column.width) for column in columns]
    while True:
        widths = [natural for _, natural in shown]
        smallest = [min(column.narrowest or natural, natural) for column, natural in shown]
        room = width - GAP * (len(shown) - 1)
        rank = max((column.rank for column, _ in shown), default=0)
        if sum(smallest) <= room or not rank:
            fitting = _shortened(widths, smallest, room)
            return [(column, wide) for (column, _), wide in zip(shown, fitting, strict=True)]
        del shown[max(i for i, (column, _) in enumerate(shown) if column.rank == rank)]


def _shortened(widths: list[int], smallest: list[int], room: int) -> list[int]:
    """Return widths that fill the room at most, taken one by one from the widest that can give."""
    widths = list(widths)
    for _ in range(sum(widths) - room):
        giving = [i for i, width in enumerate(widths) if width > smallest[i]]
        if not giving:
            break
        widths[max(giving, key=lambda i: widths[i])] -= 1
    return widths
