"""Checkpoints as comma-separated values, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.printing import plain

if TYPE_CHECKING:
    from tracker.checkpoint import Checkpoint

_ATTRIBUTES = ("id", "run_id", "experiment", "name", "epoch", "step", "created_at", "size",
               "model_class")  # fmt: skip


def print_csv(checkpoints: Sequence[Checkpoint]) -> None:
    """Print checkpoints as CSV: attributes, then ``metrics.*`` and ``params.*``, each sorted.

    Numbers have every digit. What a checkpoint lacks is empty; NaN, which is a value, is written as
    in JSON.
    """
    rows = [_row(checkpoint) for checkpoint in checkpoints]
    others = {key for row in rows for key in row} - {*_ATTRIBUTES}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_ATTRIBUTES, *sorted(others)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain(value) for key, value in row.items()} for row in rows)
    click.echo(text.getvalue(), nl=False)


def _row(checkpoint: Checkpoint) -> dict[str, Any]:
    attributes = {name: getattr(checkpoint, name) for name in _ATTRIBUTES}
    return {
        **attributes,
        "created_at": checkpoint.created_at.isoformat(),
        **{f"metrics.{name}": value for name, value in checkpoint.metrics.items()},
        **{f"params.{name}": value for name, value in checkpoint.params.items()},
    }
