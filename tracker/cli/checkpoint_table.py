"""Checkpoints as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tracker.cli import terminal
from tracker.cli.fitting import GAP, Column, fit
from tracker.cli.printing import number, print_table, printable, size, texts

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.checkpoint import Checkpoint

_MAX_METRIC_COLUMNS = 4
_SHORT_ID = 10
_SHORT_RUN = 8
_SHORTEST_TEXT = 12
_SHORTEST_HEADING = 8


def print_checkpoints(checkpoints: Sequence[Checkpoint], *, best: str | None = None) -> None:
    """Print checkpoints as a table, the one with the id ``best`` marked."""
    print_table(checkpoint_table(checkpoints, best=best, width=terminal.width()))


def checkpoint_table(
    checkpoints: Sequence[Checkpoint], *, best: str | None = None, width: int = terminal.PIPE_WIDTH
) -> Table:
    """Return checkpoints as a table, a row each.

    Args:
        checkpoints: What to show.
        best: The id of the one to mark.
        width: Characters of a line; what does not fit is shortened or left out.
    """
    marks = ["bold green" if checkpoint.id == best else None for checkpoint in checkpoints]
    return table_of(_columns(checkpoints), width, marks)


def table_of(
    columns: Sequence[Column], width: int, styles: Sequence[str | None] | None = None
) -> Table:
    """Return columns as a table no wider than ``width``, with a style for each row."""
    from rich.table import Table
    from rich.text import Text

    shown = fit(columns, width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for column, wide in shown:
        table.add_column(
            Text(column.heading),
            width=wide,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column.right else "left",
        )
    for index, cells in enumerate(zip(*(column.cells for column, _ in shown), strict=True)):
        table.add_row(*map(Text, cells), style=styles[index] if styles else None)
    return table


def _columns(checkpoints: Sequence[Checkpoint]) -> list[Column]:
    steps = texts(checkpoint.step for checkpoint in checkpoints)
    created = texts(f"{checkpoint.created_at:%Y-%m-%d %H:%M}" for checkpoint in checkpoints)
    return [
        Column("ID", texts(checkpoint.id[:_SHORT_ID] for checkpoint in checkpoints)),
        Column(
            "EXPERIMENT",
            texts(checkpoint.experiment for checkpoint in checkpoints),
            narrowest=_SHORTEST_TEXT,
            rank=3,
        ),
        Column("RUN", texts(checkpoint.run_id[:_SHORT_RUN] for checkpoint in checkpoints), rank=5),
        Column("EPOCH", texts(checkpoint.epoch for checkpoint in checkpoints), right=True),
        *([Column("STEP", steps, right=True, rank=1)] if any(steps) else []),
        *(_metric_column(checkpoints, name) for name in _common_metrics(checkpoints)),
        Column(
            "MODEL",
            texts(checkpoint.model_text for checkpoint in checkpoints),
            narrowest=_SHORTEST_TEXT,
            rank=4,
        ),
        Column(
            "SIZE", texts(size(checkpoint.size) for checkpoint in checkpoints), right=True, rank=7
        ),
        Column("CREATED (UTC)", created, rank=6),
    ]


def _metric_column(checkpoints: Sequence[Checkpoint], name: str) -> Column:
    cells = tuple(number(checkpoint.metrics.get(name)) for checkpoint in checkpoints)
    narrowest = max(_SHORTEST_HEADING, *map(len, cells))
    return Column(printable(name), cells, right=True, narrowest=narrowest, rank=2)


def _common_metrics(checkpoints: Iterable[Checkpoint]) -> list[str]:
    """Return the metrics that most checkpoints have, in alphabetical order."""
    counts: dict[str, int] = {}
    for checkpoint in checkpoints:
        for name in checkpoint.metrics:
            counts[name] = counts.get(name, 0) + 1
    common = sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_METRIC_COLUMNS]
    return sorted(common)
