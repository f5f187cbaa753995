"""Commands that find checkpoints: ``list``, ``search``, ``best``."""

from __future__ import annotations

from typing import Any

import click

from tracker.cli.completing import complete_metrics
from tracker.cli.options import (
    filter_option,
    json_option,
    listing_options,
    mode_option,
    place_options,
    refuse_both,
)


@click.command("list")
@filter_option
@listing_options
def list_checkpoints(filter_string: str, **options: Any) -> None:
    """List checkpoints, the newest first."""
    _list(filter_string, **options)


@click.command()
@click.argument("filter_string", metavar="FILTER")
@listing_options
def search(filter_string: str, **options: Any) -> None:
    """List the checkpoints that match FILTER, the newest first.

    FILTER is in MLflow's search syntax: "metrics.val_loss < 0.3 AND params.depth = '7'". There are
    metrics.*, params.*, tags.* and attributes.* (epoch, step, model_class, created_at, run_id,
    experiment_name, size, name).
    """
    _list(filter_string, **options)


def _list(
    filter_string: str,
    *,
    experiment: tuple[str, ...],
    run_id: str | None,
    order_by: tuple[str, ...],
    limit: int,
    offset: int,
    as_json_text: bool,
    as_csv_text: bool,
) -> None:
    refuse_both(as_json_text, as_csv_text)
    from tracker import api
    from tracker.cli.checkpoint_table import print_checkpoints
    from tracker.cli.printing import as_json, print_json
    from tracker.cli.spreadsheet import print_csv

    found = api.search_checkpoints(
        filter_string,
        experiment=experiment or None,
        run_id=run_id,
        order_by=order_by or None,
        max_results=limit + 1,
        offset=offset,
    )
    page = found[:limit]
    if as_json_text:
        print_json([as_json(checkpoint) for checkpoint in page])
    elif as_csv_text:
        print_csv(page)
    elif page:
        print_checkpoints(page)
    else:
        click.echo("No checkpoint matches." if not offset else "No more of them match.", err=True)
    if len(found) > limit:
        click.echo(f"There are more: --offset {offset + limit} shows the next page.", err=True)


@click.command()
@click.argument("metric", shell_complete=complete_metrics)
@mode_option
@filter_option
@place_options
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
    from tracker.cli.printing import as_json, print_checkpoint, print_json

    found = api.best_checkpoint(
        metric,
        mode=mode,
        experiment=experiment or None,
        run_id=run_id,
        filter_string=filter_string,
    )
    if as_json_text:
        print_json(as_json(found))
    else:
        print_checkpoint(found)
