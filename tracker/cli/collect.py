"""``tracker collect``: frees the space of what is no checkpoint any more."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.options import json_option

if TYPE_CHECKING:
    from tracker.upkeep.collect import Collected
    from tracker.upkeep.leftovers import Leftover

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHORT_RUN = 8


def _seconds(context: click.Context, option: click.Parameter, value: str) -> float:
    """Return a time such as ``90m``, ``1h`` or ``2d`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([smhdw]?)", value.strip().lower())
    if found is None:
        raise click.BadParameter(f"{value!r} is no time; expected 30s, 90m, 1h, 2d or 1w.")
    return float(found[1]) * _UNITS[found[2] or "s"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be removed; touch nothing.")
@click.option(
    "--grace",
    callback=_seconds,
    default="1d",
    show_default=True,
    metavar="TIME",
    help="What was written in this time stays, for it may be on its way: 30m, 1h, 2d.",
)
@json_option
def collect(dry_run: bool, grace: float, as_json_text: bool) -> None:
    """Remove the files of what is no checkpoint any more.

    That is what was deleted in MLflow, replaced, failed or never finished, and what a deletion has
    left that was interrupted. What a checkpoint needs, what is registered, and what is not
    tracker's stays. The exit status is 1 if something could not be removed.
    """
    from tracker import api
    from tracker.cli.counting import counting

    with counting("leftovers") as seen:
        planned = api.plan_collection(grace, seen)
    done = [] if dry_run else api.collect(planned)
    if as_json_text:
        _print_json(planned, {each.leftover.id: each for each in done})
    else:
        _print(planned, done, dry_run)
    if any(each.error for each in done):
        sys.exit(1)


def _print(planned: Sequence[Leftover], done: Sequence[Collected], dry_run: bool) -> None:
    from tracker.cli.printing import printable, size

    errors = {each.leftover.id: each.error for each in done}
    for each in planned:
        what = f"{each.id} {each.name}".strip()
        of_run = f" of run {each.run_id[:_SHORT_RUN]}" if each.run_id else ""
        bytes_ = "" if each.size is None else f", {size(each.size)}"
        line = printable(f"{what}{of_run} ({each.kind}{bytes_})")
        if each.stays:
            click.echo(f"stays    {line}: {printable(each.stays)}")
        elif errors.get(each.id):
            click.secho("FAILED   ", fg="red", nl=False)
            click.echo(f"{line}: {printable(errors[each.id])}")
        else:
            rest = f", but for {', '.join(sorted(each.needed))}" if each.needed else ""
            click.echo(f"{'goes' if dry_run else 'removed':<8} {line}{rest}")
    goes = [each for each in planned if not each.stays and not errors.get(each.id)]
    freed = size(sum(each.size or 0 for each in goes))
    told = "would be freed" if dry_run else "freed"
    click.echo(f"{len(goes)} of {len(planned)} leftovers; {freed} {told}.", err=True)


def _print_json(planned: Sequence[Leftover], done: dict[str, Collected]) -> None:
    from tracker.cli.printing import print_json

    print_json([_as_json(each, done.get(each.id)) for each in planned])


def _as_json(leftover: Leftover, collected: Collected | None) -> dict[str, Any]:
    return {
        "id": leftover.id,
        "name": leftover.name,
        "run_id": leftover.run_id,
        "experiment": leftover.experiment,
        "kind": leftover.kind,
        "artifact_uri": leftover.artifact_uri,
        "size": leftover.size,
        "stays": leftover.stays,
        "needed": sorted(leftover.needed),
        "removed": collected is not None and not collected.error,
        "error": collected.error if collected else "",
    }
