"""How checkpoints are printed: as JSON, as a table, as a page."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.checkpoint import Checkpoint

_MAX_METRIC_COLUMNS = 4
_PIPE_WIDTH = 1_000_000
SHORT_ID = 10


def print_json(data: object) -> None:
    """Print data as JSON. NaN and infinities are the strings that MLflow's REST API uses."""
    click.echo(json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data


def as_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint as a JSON object."""
    return {
        "id": checkpoint.id,
        "run_id": checkpoint.run_id,
        "experiment": checkpoint.experiment,
        "name": checkpoint.name,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "params": checkpoint.params,
        "tags": checkpoint.tags,
        "model_class": checkpoint.model_class,
        "model": checkpoint.model_text,
        "rebuild": checkpoint.rebuild,
        "size": checkpoint.size,
        "created_at": checkpoint.created_at.isoformat(),
        "artifact_uri": checkpoint.record.artifact_uri,
    }


def _print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or in a pipe as wide as it needs to be."""
    from rich.console import Console

    console = Console(
        width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, emoji=False
    )
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_checkpoints(checkpoints: Sequence[Checkpoint], *, best: str | None = None) -> None:
    """Print checkpoints as a table, the one with the id ``best`` marked."""
    _print_table(checkpoint_table(checkpoints, best=best))


def checkpoint_table(checkpoints: Sequence[Checkpoint], *, best: str | None = None) -> Table:
    """Return checkpoints as a table, a row each."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    metrics = _metric_columns(checkpoints)
    with_step = any(checkpoint.step is not None for checkpoint in checkpoints)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("ID", "EXPERIMENT", "RUN"):
        table.add_column(heading, no_wrap=True)
    for heading in ("EPOCH", *(["STEP"] if with_step else []), *metrics):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("MODEL", min_width=12)  # the one column that gives way in a narrow terminal
    table.add_column("SIZE", justify="right", no_wrap=True)
    table.add_column("CREATED (UTC)", no_wrap=True)
    for checkpoint in checkpoints:
        steps = [checkpoint.epoch, *([checkpoint.step] if with_step else [])]
        table.add_row(
            checkpoint.id[:SHORT_ID],
            escape(checkpoint.experiment),
            checkpoint.run_id[:8],
            *("" if number is None else str(number) for number in steps),
            *(_number(checkpoint.metrics.get(name)) for name in metrics),
            Text(checkpoint.model_text, no_wrap=True, overflow="ellipsis"),
            size(checkpoint.size),
            f"{checkpoint.created_at:%Y-%m-%d %H:%M}",
            style="bold green" if checkpoint.id == best else None,
        )
    return table


def _metric_columns(checkpoints: Iterable[Checkpoint]) -> list[str]:
    """Return the metrics that most checkpoints have, in alphabetical order."""
    counts: dict[str, int] = {}
    for checkpoint in checkpoints:
        for name in checkpoint.metrics:
            counts[name] = counts.get(name, 0) + 1
    common = sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_METRIC_COLUMNS]
    return sorted(common)


def print_checkpoint(checkpoint: Checkpoint, *, loading: str = "") -> None:
    """Print everything known about one checkpoint, how it loads, and the lines that load it."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows: dict[str, object] = {
        "id": checkpoint.id,
        "model": checkpoint.model_text,
        "class": checkpoint.model_class,
        "rebuilt by": checkpoint.rebuild,
        "experiment": checkpoint.experiment,
        "run": checkpoint.run_id,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        **{f"metric {name}": _number(value) for name, value in checkpoint.metrics.items()},
        **{f"param {name}": value for name, value in checkpoint.params.items()},
        **{f"tag {name}": value for name, value in checkpoint.tags.items()},
        "size": size(checkpoint.size),
        "created": f"{checkpoint.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "files": checkpoint.record.artifact_uri,
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(escape(name), escape(str(value)))
    _print_table(table)
    if loading:
        click.echo(f"\n{loading}")
    click.echo(f'\nimport tracker\nmodel = tracker.load_model("{checkpoint.id}")')


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def size(count: int) -> str:
    """Return a number of bytes as people read it.

    Example:
        >>> size(2_340_000)
        '2.3 MB'
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
