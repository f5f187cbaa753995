"""``tracker check``: do checkpoints still load with the code that is here now?"""

from __future__ import annotations

import sys

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects

_COLOURS = {"ok": "green", "changed": "yellow", "fails": "red"}


@click.command()
@selects("[CHECKPOINT]...")
@click.option(
    "--trust",
    multiple=True,
    metavar="PACKAGE",
    help="A package that checkpoints may refer to beside their own, or 'source'; may be given "
    "several times.",
)
@click.option(
    "--no-weights", is_flag=True, help="Rebuild only the architecture: fast, and runs no example."
)
@json_option
def check(
    selection: Selection, trust: tuple[str, ...], no_weights: bool, as_json_text: bool
) -> None:
    """Rebuild each CHECKPOINT with the code that is importable here.

    Without arguments: every version of a registered model that has an alias. The exit status is 1
    if one no longer loads.
    """
    from tracker import api
    from tracker.cli.printing import print_json

    picked = [checkpoint.id for checkpoint in selection.picked()] if selection.picks else None
    sources = selection.sources if picked is None else picked
    found = []
    for checked in api.check_checkpoints(sources, trust=trust, weights=not no_weights):
        found.append(checked)
        if not as_json_text:
            _print(checked.names, checked.status, checked.reason)
    if as_json_text:
        print_json([checked.to_dict() for checked in found])
    elif not found:
        click.echo("No version of a registered model has an alias; name checkpoints.", err=True)
    if any(checked.status == "fails" for checked in found):
        sys.exit(1)


def _print(names: tuple[str, ...], status: str, reason: str) -> None:
    word = click.style(f"{'FAILS' if status == 'fails' else status:<8}", fg=_COLOURS[status])
    click.echo(f"{word}{', '.join(names)}: {reason.splitlines()[0]}")
