"""``tracker prune``: deletes checkpoints of runs that are done, but for those that are to stay."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.completing import complete_metrics, complete_runs
from tracker.cli.options import experiments_option, json_option, mode_option

if TYPE_CHECKING:
    from tracker.deleting.policy import Judgement
    from tracker.deleting.run import Deleted
    from tracker.upkeep.prune import Pruning

_SHORT_RUN, _SHORT_ID = 8, 10


@click.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...", shell_complete=complete_runs)
@experiments_option
@click.option("--all", "everything", is_flag=True, help="All runs of all experiments.")
@click.option(
    "--keep-last", type=click.IntRange(min=1), metavar="N", help="So many of the newest stay."
)
@click.option(
    "--keep-best", type=click.IntRange(min=1), metavar="N", help="So many of the best stay."
)
@click.option(
    "--monitor",
    metavar="METRIC",
    shell_complete=complete_metrics,
    help="The metric by which --keep-best judges.",
)
@mode_option
@click.option(
    "--keep-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Those stay whose epoch, or else step, is divisible by N.",
)
@click.option("--dry-run", is_flag=True, help="Show what would stay, and why; delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@json_option
def prune(
    run_ids: tuple[str, ...],
    experiment: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json_text: bool,
    **rules: Any,
) -> None:
    """Delete the checkpoints of runs that no rule keeps, as a retention does while training.

    A checkpoint stays if one of the rules keeps it. The newest of each model always stays, and so
    does what is registered, or has the tag tracker.keep, and every file that another checkpoint
    needs. The exit status is 1 if something could not be deleted.
    """
    if bool(run_ids) + bool(experiment) + everything != 1:
        raise click.UsageError("Say of which runs: RUN_IDs, --experiment NAME, or --all.")
    if not (dry_run or yes or (sys.stdin.isatty() and not as_json_text)):
        raise click.UsageError("Nobody can be asked here: give --dry-run to look, --yes to delete.")
    from tracker import Retention, api

    pruning = api.plan_pruning(
        Retention(**rules),
        run_ids=run_ids,
        experiments=list(experiment) or None,
    )
    goes = [each.record for each in pruning.judgements if not each.stays]
    if not as_json_text:
        _show(pruning)
    if dry_run or not goes:
        if as_json_text:
            _print_json(pruning, {})
        return
    if not yes:
        click.confirm(f"Delete {_counted(len(goes))}?", abort=True, err=True)
    done = api.prune(pruning)
    if as_json_text:
        _print_json(pruning, {each.record.id: each for each in done})
    else:
        _tell(done)
    if any(each.failed for each in done):
        sys.exit(1)


def _show(pruning: Pruning) -> None:
    from tracker.cli import terminal
    from tracker.cli.checkpoint_table import table_of
    from tracker.cli.fitting import Column
    from tracker.cli.printing import print_table, size, texts

    shown = pruning.judgements
    if not shown:
        click.echo("There are no checkpoints.", err=True)
        return
    columns = [
        Column("ID", texts(each.record.id[:_SHORT_ID] for each in shown)),
        Column("RUN", texts(each.record.run_id[:_SHORT_RUN] for each in shown), rank=5),
        Column("NAME", texts(each.record.name for each in shown)),
        Column("MODEL", texts(each.record.model_text for each in shown), narrowest=12, rank=4),
        Column("SIZE", texts(size(each.record.size) for each in shown), right=True, rank=3),
        Column("STAYS BECAUSE", texts(", ".join(each.reasons) for each in shown), narrowest=12),
    ]
    styles = [None if each.stays else "red" for each in shown]
    print_table(table_of(columns, terminal.width(), styles))
    goes = [each.record for each in shown if not each.stays]
    freed = size(sum(record.size for record in goes))
    click.echo(f"\n{_counted(len(goes))} of {len(shown)} would go ({freed}).", err=True)
    for model_class in pruning.without_metric:
        click.secho(
            f"Warning: no checkpoint of {model_class} has the metric to judge by, so none of them "
            "goes.",
            fg="yellow",
            err=True,
        )


def _tell(done: Sequence[Deleted]) -> None:
    for each in done:
        if each.failed:
            click.secho("STAYS   ", fg="red", nl=False)
            click.echo(f"{each.record.id} {each.record.name}: {each.reason}")
    gone = [each for each in done if not each.failed]
    click.echo(f"{_counted(len(gone))} deleted.")
    for left in sorted({each.reason for each in gone if each.left == "files"})[:1]:
        click.echo(left, err=True)


def _counted(count: int) -> str:
    return "1 checkpoint" if count == 1 else f"{count} checkpoints"


def _print_json(pruning: Pruning, done: dict[str, Deleted]) -> None:
    from tracker.cli.printing import print_json

    print_json([_as_json(each, done.get(each.record.id)) for each in pruning.judgements])


def _as_json(judgement: Judgement, deleted: Deleted | None) -> dict[str, Any]:
    record = judgement.record
    return {
        "id": record.id,
        "run_id": record.run_id,
        "experiment": record.experiment,
        "name": record.name,
        "epoch": record.epoch,
        "step": record.step,
        "model_class": record.model_class,
        "metrics": record.metrics,
        "size": record.size,
        "stays": judgement.stays,
        "reasons": list(judgement.reasons),
        "deleted": deleted is not None and not deleted.failed,
        "left": deleted.left if deleted else None,
        "error": deleted.reason if deleted and deleted.failed else None,
    }
