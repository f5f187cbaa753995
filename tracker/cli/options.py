"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import click

from tracker.cli.completing import complete_experiments, complete_runs

Command: TypeAlias = Callable[..., Any]
"""A function that is, or is about to become, a command of click's."""

json_option = click.option("--json", "as_json_text", is_flag=True, help="Print JSON.")

csv_option = click.option(
    "--csv",
    "as_csv_text",
    is_flag=True,
    help="Print comma-separated values, with every digit.",
)

mode_option = click.option(
    "--mode",
    type=click.Choice(["min", "max"]),
    help="Which is better; needed where the metric's name leaves it open.",
)

experiments_option = click.option(
    "--experiment",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_experiments,
    help="Only in this experiment; may be given several times.",
)

_run_option = click.option(
    "--run",
    "run_id",
    metavar="RUN_ID",
    shell_complete=complete_runs,
    help="Only checkpoints of this run.",
)

filter_option = click.option(
    "--filter",
    "filter_string",
    default="",
    metavar="FILTER",
    help="MLflow's search syntax: \"metrics.val_loss < 0.3 AND params.depth = '7'\".",
)

_order_option = click.option(
    "--order-by",
    multiple=True,
    metavar="FIELD",
    help="For example 'metrics.val_loss ASC'; the newest first by default.",
)

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most."
)

offset_option = click.option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many to skip, for the next page.",
)


def place_options(command: Command) -> Command:
    """Add the options that say where to look."""
    return experiments_option(_run_option(command))


def listing_options(command: Command) -> Command:
    """Add the options of a list: where to look, in what order, which page, in what format."""
    for option in (csv_option, json_option, offset_option, limit_option, _order_option):
        command = option(command)
    return place_options(command)


def refuse_both(as_json_text: bool, as_csv_text: bool) -> None:
    """Refuse two formats at once.

    Raises:
        UsageError: Both were asked for.
    """
    if as_json_text and as_csv_text:
        raise click.UsageError("--json and --csv are two formats; give one of them.")
