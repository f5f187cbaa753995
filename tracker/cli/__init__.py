"""The ``tracker`` command. A command parses, calls one function of `tracker.api`, and prints.

Commands import what they need when they run, so that ``tracker --help`` imports neither torch nor
MLflow. Errors are printed without a traceback; the exit status is then 1.
"""

from __future__ import annotations

import sys

import click

from tracker import __version__
from tracker.cli import shells, terminal
from tracker.cli.check import check
from tracker.cli.collect import collect
from tracker.cli.demo import demo
from tracker.cli.diff import diff
from tracker.cli.files import export, pull
from tracker.cli.find import best, list_checkpoints, search
from tracker.cli.importing import import_command
from tracker.cli.prune import prune
from tracker.cli.registry import models, promote, register
from tracker.cli.runs import runs
from tracker.cli.serve import serve
from tracker.cli.show import show
from tracker.cli.sync import sync
from tracker.cli.upkeep import db, doctor, reindex
from tracker.cli.verify import verify
from tracker.errors import TrackerError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tracker")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find PyTorch checkpoints by epoch or best metric, and rebuild their models.

    Looks where MLflow looks: MLFLOW_TRACKING_URI, or mlflow.db in the working directory.
    """
    context.color = terminal.colours()


for command in (
    *(list_checkpoints, search, best, runs, show, diff),
    *(check, verify, import_command, export, pull),
    *(register, promote, models),
    *(prune, collect, sync, reindex, db, doctor, serve, demo),
):
    cli.add_command(command)


def main() -> None:
    """Run the command; print tracker's own errors as one message."""
    terminal.say_warnings()
    shells.install()
    try:
        cli(prog_name="tracker")
    except TrackerError as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        click.secho(f"Error: {error}{notes}", fg="red", err=True, color=terminal.colours())
        sys.exit(1)
