"""``tracker verify``: are the files of checkpoints what was written?"""

from __future__ import annotations

import sys

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects


@click.command()
@selects("[CHECKPOINT]...")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All checkpoints, or all of --experiment.",
)
@json_option
def verify(selection: Selection, as_json_text: bool) -> None:
    """Read every byte of each CHECKPOINT again, and compare it with what was written.

    That includes the tensors that did not change and lie in files of earlier checkpoints. What a
    remote store holds is fetched for it, a file at a time, whatever the cache has. There is a line
    for each; the exit status is 1 if one is damaged or can't be read.
    """
    if not selection.sources and not selection.picks:
        raise click.UsageError("Name checkpoints, or give --all.")
    from tracker import api
    from tracker.cli.printing import print_json, printable, size

    sources = selection.picked() if selection.picks else selection.sources
    found = []
    for verified in api.verify_checkpoints(sources):
        found.append(verified)
        if as_json_text:
            continue
        if verified.condition == "ok":
            read = f"{verified.title}: {verified.tensors} tensors, {size(verified.size)}"
        else:
            read = f"{verified.title}: {verified.reason}" if verified.title else verified.reason
        word = verified.condition if verified.condition == "ok" else verified.condition.upper()
        click.secho(f"{word:<8}", fg="green" if word == "ok" else "red", nl=False)
        click.echo(f"{verified.id or verified.source}: {printable(read)}")
    if as_json_text:
        print_json([verified.to_dict() for verified in found])
    if any(verified.condition != "ok" for verified in found):
        sys.exit(1)
