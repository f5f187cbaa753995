"""``tracker import``: checkpoints that others wrote become tracker's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tracker.cli.completing import complete_experiments, complete_runs
from tracker.cli.fitting import Column
from tracker.cli.options import json_option

if TYPE_CHECKING:
    from tracker.importing.outcome import ImportedCheckpoint

_MOST_METRICS = 4


@click.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--experiment",
    metavar="NAME",
    shell_complete=complete_experiments,
    help="The experiment to import into; made if it is not there.",
)
@click.option(
    "--run-id",
    metavar="RUN_ID",
    shell_complete=complete_runs,
    help="An existing run to import into.",
)
@click.option("--run-name", metavar="NAME", help="One run of this name for all of them.")
@click.option(
    "--model",
    "factory",
    metavar="MODULE:NAME",
    help="The class or function that makes their model, so that it can be rebuilt.",
)
@click.option("--model-args", metavar="JSON", help="Its arguments: '{\"hidden\": 64}' or a list.")
@click.option("--dry-run", is_flag=True, help="Print what would be imported; change nothing.")
@json_option
def import_command(
    sources: tuple[str, ...],
    experiment: str | None,
    run_id: str | None,
    run_name: str | None,
    factory: str | None,
    model_args: str | None,
    dry_run: bool,
    as_json_text: bool,
) -> None:
    """Import the checkpoints at PATH: a .pt, .pth, .ckpt or .safetensors file, a folder, a run.

    A run is runs:/RUN_ID or runs:/RUN_ID/PATH. Layouts of Lightning, Hugging Face's Trainer, timm,
    Ignite, MLflow's autologging and of plain scripts are recognised. No pickle is executed: what
    can't be loaded safely is named, and the others go on. The exit status is 1 if one could not be
    imported. What was imported before is not imported again.
    """
    if model_args is not None and factory is None:
        raise click.UsageError("--model-args are the arguments of --model MODULE:NAME.")
    if run_id is not None and (run_name is not None or experiment is not None):
        raise click.UsageError("--run-id names a run; leave out --run-name and --experiment.")
    from tracker import api
    from tracker.cli.printing import print_json

    model = None
    if factory is not None:
        sys.path.insert(0, os.getcwd())
        model = api.make_model(factory, model_args)
    in_lines = not as_json_text and not dry_run
    outcomes = api.import_checkpoints(
        sources,
        model=model,
        experiment=experiment,
        run_id=run_id,
        run_name=run_name,
        dry_run=dry_run,
        watch=_print_line if in_lines else lambda outcome: None,
    )
    if as_json_text:
        print_json([outcome.to_dict() for outcome in outcomes])
    elif dry_run:
        _print_table(outcomes)
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)


def _print_line(outcome: ImportedCheckpoint) -> None:
    from tracker.cli.printing import number, printable

    if outcome.status == "failed":
        click.secho("FAILED         ", fg="red", nl=False)
        click.echo(f"{printable(outcome.source)}: {printable(outcome.reason)}")
        return
    click.secho(
        f"{outcome.status:<15}", fg="green" if outcome.status == "imported" else None, nl=False
    )
    told = outcome.reason if outcome.checkpoint is None or outcome.reason else outcome.checkpoint.id
    counts = {"epoch": outcome.epoch, "step": outcome.step}
    said = [f"{name} {value}" for name, value in counts.items() if value is not None]
    said += [f"{name} {number(value)}" for name, value in outcome.metrics.items()][:_MOST_METRICS]
    click.echo(f"{printable(outcome.source)}: {told}{', ' if said else ''}{', '.join(said)}")
    for note in outcome.notes:
        click.echo(f"{'':15}{printable(note)}")


def _print_table(outcomes: Sequence[ImportedCheckpoint]) -> None:
    from tracker.cli import terminal
    from tracker.cli.checkpoint_table import table_of
    from tracker.cli.printing import print_table, printable, texts

    names = sorted({name for outcome in outcomes for name in outcome.metrics})[:_MOST_METRICS]
    columns = [
        Column("SOURCE", texts(o.source for o in outcomes), narrowest=20),
        Column("STATUS", texts(o.status for o in outcomes)),
        Column("LAYOUT", texts(o.layout for o in outcomes), rank=3),
        Column("EPOCH", texts(o.epoch for o in outcomes), right=True),
        Column("STEP", texts(o.step for o in outcomes), right=True, rank=1),
        *(_metric(name, outcomes) for name in names),
        Column("TENSORS", texts(o.tensors or None for o in outcomes), right=True, rank=4),
        Column("RUN", texts(o.run for o in outcomes), narrowest=12, rank=5),
    ]
    print_table(table_of(columns, terminal.width()))
    for outcome in outcomes:
        for told in ([outcome.reason] if outcome.reason else []) + list(outcome.notes):
            click.echo(f"{printable(outcome.source)}: {printable(told)}", err=True)


def _metric(name: str, outcomes: Sequence[ImportedCheckpoint]) -> Column:
    from tracker.cli.printing import number, printable, texts

    values = texts(number(outcome.metrics.get(name)) for outcome in outcomes)
    return Column(printable(name), values, right=True, rank=2)
