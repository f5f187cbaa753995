"""How checkpoints are printed: as JSON, as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from tracker.cli import terminal

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.checkpoint import Checkpoint


def print_json(data: object) -> None:
    """Print data as JSON. NaN and infinities are the strings that MLflow's REST API uses."""
    click.echo(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def plain(data: Any) -> Any:
    """Return data without the numbers that JSON lacks; these become text."""
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
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


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or in a pipe as wide as it needs to be."""
    from rich.console import Console

    console = Console(width=terminal.width(), highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_checkpoint(checkpoint: Checkpoint, *, loading: str = "") -> None:
    """Print everything known about one checkpoint, how it loads, and the lines that load it."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, max_width=max(12, terminal.width() // 3))
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
        **{f"metric {name}": number(value) for name, value in checkpoint.metrics.items()},
        **{f"param {name}": value for name, value in checkpoint.params.items()},
        **{f"tag {name}": value for name, value in checkpoint.tags.items()},
        "size": size(checkpoint.size),
        "created": f"{checkpoint.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "files": checkpoint.record.artifact_uri,
    }
    for name, value in rows.items():
        if value is not None:
            text = "\n".join(map(printable, str(value).splitlines()))
            table.add_row(escape(printable(name)), escape(text))
    print_table(table)
    if loading:
        click.echo(f"\n{loading}")
    click.echo(f'\nimport tracker\nmodel = tracker.load_model("{checkpoint.id}")')


def number(value: float | None) -> str:
    """Return a number with as many digits as people compare, or nothing for None."""
    return "" if value is None else f"{value:.6g}"


def printable(text: str) -> str:
    """Return a text in one line: without what would move a terminal's cursor or colour it.

    Example:
        >>> printable("two\\nlines")
        'two·lines'
    """
    return "".join(character if character.isprintable() else "·" for character in text)


def texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return values as texts of one line each; None is nothing."""
    return tuple("" if value is None else printable(str(value)) for value in values)


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
