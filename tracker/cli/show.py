"""``tracker show``: everything known about one checkpoint."""

from __future__ import annotations

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects


@click.command()
@selects("[CHECKPOINT]")
@click.option(
    "--diff", is_flag=True, help="Print only how the code differs from when it was logged."
)
@json_option
def show(selection: Selection, diff: bool, as_json_text: bool) -> None:
    """Show everything known about CHECKPOINT: an id or the beginning of one, runs:/…, models:/….

    Or of the one that is picked from a run, whose id is the argument, or from an experiment. Its
    model is rebuilt, if its files are on this machine, to tell how it loads.
    """
    from tracker import api
    from tracker.cli.printing import as_json, print_checkpoint, print_json

    found = selection.one()
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
