"""``tracker sync``: sends what waits in the spool, and shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tracker.cli.options import json_option

if TYPE_CHECKING:
    from tracker.saving.spool import Delivery
    from tracker.saving.sync import Outcome, Watch


@click.command()
@json_option
def sync(as_json_text: bool) -> None:
    """Send the checkpoints to MLflow that wait on this disk, because it could not be reached.

    Each goes to the tracking store that it was logged to, once, however often this is called. The
    exit status is 1 if one could not be sent; it stays. Else the mirror of a tracking server, from
    which queries are answered, is brought up to date.
    """
    from tracker import api, settings
    from tracker.cli.counting import counting
    from tracker.cli.printing import print_json

    with _progress() as watch:
        outcomes = api.sync(watch)
    if as_json_text:
        print_json([_as_json(outcome) for outcome in outcomes])
    else:
        for outcome in outcomes:
            _print(outcome)
        if not outcomes:
            click.echo(f"Nothing waits in {settings.spool_directory()}.", err=True)
    if any(outcome.error is not None for outcome in outcomes):
        sys.exit(1)  # at once: a server that does not answer would be waited for again
    with counting("checkpoints read from MLflow") as seen:
        api.update_mirror(seen)


@contextmanager
def _progress() -> Iterator[Watch]:
    """Show on a terminal how many bytes of each checkpoint are sent."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:

        def watch(delivery: Delivery) -> Callable[[int], None]:
            for finished in progress.task_ids:
                progress.remove_task(finished)
            task = progress.add_task(delivery.name, total=delivery.size)
            return lambda count: progress.advance(task, count)

        yield watch


def _as_json(outcome: Outcome) -> dict[str, object]:
    sent = outcome.checkpoint
    return {
        "name": outcome.name,
        "tracking_uri": outcome.tracking_uri,
        "directory": None if outcome.directory is None else str(outcome.directory),
        "id": None if sent is None else sent.id,
        "run_id": None if sent is None else sent.run_id,
        "error": outcome.error,
    }


def _print(outcome: Outcome) -> None:
    if outcome.checkpoint is not None:
        click.secho("sent  ", fg="green", nl=False)
        click.echo(f"{outcome.name} of run {outcome.checkpoint.run_id}: {outcome.checkpoint.id}")
    else:
        click.secho("stays ", fg="red", nl=False)
        click.echo(f"{outcome.name}: {outcome.error} ({outcome.directory})")
