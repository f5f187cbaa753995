"""``tracker runs``: the best checkpoint of every run, and how the metric went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from tracker.cli.completing import complete_metrics
from tracker.cli.options import (
    csv_option,
    experiments_option,
    filter_option,
    json_option,
    limit_option,
    mode_option,
    offset_option,
    refuse_both,
)

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.checkpoint import Checkpoint

_History = Mapping[str, Sequence[tuple[int | None, float]]]


@click.command()
@click.argument("metric", shell_complete=complete_metrics)
@mode_option
@experiments_option
@filter_option
@limit_option
@offset_option
@json_option
@csv_option
def runs(
    metric: str,
    mode: str | None,
    experiment: tuple[str, ...],
    filter_string: str,
    limit: int,
    offset: int,
    as_json_text: bool,
    as_csv_text: bool,
) -> None:
    """Show of every run the checkpoint at which METRIC was best, the best run first.

    Beside it stands the course of METRIC over the run's epochs.
    """
    refuse_both(as_json_text, as_csv_text)
    from tracker import api
    from tracker.cli.printing import as_json, print_json, print_table
    from tracker.cli.spreadsheet import print_csv

    found = api.best_of_each_run(
        metric,
        mode=mode,
        experiment=experiment or None,
        filter_string=filter_string,
        max_results=limit + 1,
        offset=offset,
    )
    page = found[:limit]
    if as_csv_text:
        print_csv(page)
    else:
        history = api.metric_history([checkpoint.run_id for checkpoint in page], metric)
        if as_json_text:
            print_json([{**as_json(each), "history": history[each.run_id]} for each in page])
        elif page:
            print_table(_table(page, metric, history))
        else:
            click.echo("No more runs match.", err=True)
    if len(found) > limit:
        click.echo(f"There are more: --offset {offset + limit} shows the next page.", err=True)


def _table(checkpoints: Sequence[Checkpoint], metric: str, history: _History) -> Table:
    from tracker.cli import terminal
    from tracker.cli.checkpoint_table import table_of
    from tracker.cli.fitting import Column
    from tracker.cli.printing import number, printable, texts
    from tracker.cli.sparkline import sparkline

    best = tuple(number(each.metrics.get(metric)) for each in checkpoints)
    curves = (sparkline([value for _, value in history[each.run_id]]) for each in checkpoints)
    columns = [
        Column("RUN", texts(each.run_id for each in checkpoints), narrowest=8),
        Column("EXPERIMENT", texts(each.experiment for each in checkpoints), narrowest=12, rank=2),
        Column(printable(metric), best, right=True, narrowest=max(8, *map(len, best))),
        Column("EPOCH", texts(each.epoch for each in checkpoints), right=True, rank=1),
        Column("COURSE", tuple(curves), rank=3),
        Column("MODEL", texts(each.model_text for each in checkpoints), narrowest=12, rank=4),
        Column("CHECKPOINT", texts(each.id[:10] for each in checkpoints), rank=5),
    ]
    return table_of(columns, terminal.width())
