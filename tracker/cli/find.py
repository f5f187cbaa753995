"""Commands that find checkpoints: ``list``, ``best``, ``show``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

json_option = click.option("--json", "as_json_text", is_flag=True, help="Print JSON.")


def _scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where to look."""
    for option in (
        click.option(
            "--filter",
            "filter_string",
            default="",
            metavar="FILTER",
            help="MLflow's search syntax: \"metrics.val_loss < 0.3 AND params.depth = '7'\".",
        ),
        click.option("--run", "run_id", metavar="RUN_ID", help="Only checkpoints of this run."),
        click.option(
            "--experiment",
            multiple=True,
            metavar="NAME",
            help="Only in this experiment; may be given several times.",
        ),
    ):
        command = option(command)
    return command


@click.command("list")
@_scope_options
@click.option(
    "--order-by",
    multiple=True,
    metavar="FIELD",
    help="For example 'metrics.val_loss ASC'; the newest first by default.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most."
)
@json_option
def list_checkpoints(
    experiment: tuple[str, ...],
    run_id: str | None,
    filter_string: str,
    order_by: tuple[str, ...],
    limit: int,
    as_json_text: bool,
) -> None:
    """List checkpoints, the newest first."""
    from tracker import api
    from tracker.cli.printing import as_json, print_checkpoints, print_json

    found = api.search_checkpoints(
        filter_string,
        experiment=experiment or None,
        run_id=run_id,
        order_by=order_by or None,
        max_results=limit,
    )
    if as_json_text:
        print_json([as_json(checkpoint) for checkpoint in found])
    elif found:
        print_checkpoints(found)
    else:
        click.echo("No checkpoint matches.", err=True)


@click.command()
@click.argument("metric")
@click.option(
    "--mode",
    type=click.Choice(["min", "max"]),
    help="Which is better; needed where the metric's name leaves it open.",
)
@_scope_options
@json_option
def best(
    metric: str,
    mode: str | None,
    experiment: tuple[str, ...],
    run_id: str | None,
    filter_string: str,
    as_json_text: bool,
) -> None:
    """Show the checkpoint at which METRIC was best, over the whole history."""
    from tracker import api

    _print_one(
        api.best_checkpoint(
            metric,
            mode=mode,
            experiment=experiment or None,
            run_id=run_id,
            filter_string=filter_string,
        ),
        as_json_text,
    )


@click.command()
@click.argument("checkpoint")
@click.option(
    "--diff", is_flag=True, help="Print only how the code differs from when it was logged."
)
@json_option
def show(checkpoint: str, diff: bool, as_json_text: bool) -> None:
    """Show everything known about CHECKPOINT: an id or the beginning of one, runs:/…, models:/….

    Its model is rebuilt, if its files are on this machine, to tell how it loads.
    """
    from tracker import api
    from tracker.cli.printing import as_json, print_checkpoint, print_json

    found = api.as_checkpoint(checkpoint)
    report = api.explain_if_at_hand(found)
    elsewhere = (
        "Not rebuilt, because its files are not on this machine. This fetches and rebuilds it:\n"
        f"tracker check {found.id}"
    )
    if as_json_text:
        print_json({**as_json(found), "load": None if report is None else report.to_dict()})
    elif not diff:
        print_checkpoint(found, loading=elsewhere if report is None else str(report))
    elif report is None:
        click.echo(elsewhere, err=True)
    elif report.diff:
        click.echo(report.diff, nl=False)
    else:
        click.echo("The code that was found here is as it was when it was logged.", err=True)


def _print_one(checkpoint: Any, as_json_text: bool) -> None:
    from tracker.cli.printing import as_json, print_checkpoint, print_json

    if as_json_text:
        print_json(as_json(checkpoint))
    else:
        print_checkpoint(checkpoint)
