"""Commands that bring a checkpoint's files somewhere: ``export``, ``pull``."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects


@click.command()
@selects("[CHECKPOINT]")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(selection: Selection, path: Path, as_json_text: bool) -> None:
    """Write the weights of CHECKPOINT to PATH, one safetensors file that needs nothing else."""
    from tracker.cli.printing import print_json, size

    found = selection.one()
    found.export(path)
    written = path.stat().st_size
    if as_json_text:
        print_json({"id": found.id, "path": str(path), "size": written})
    else:
        click.echo(f"{path} ({size(written)}): the weights of {found.name}, {found.model_text}")


@click.command()
@selects("[CHECKPOINT]")
@json_option
def pull(selection: Selection, as_json_text: bool) -> None:
    """Fetch the files of CHECKPOINT into the cache, and print the folder that they are in.

    Files of a store on this machine stay where they are. What was fetched is loaded later without
    the store; TRACKER_CACHE_DIR says where the cache is.
    """
    from tracker import api
    from tracker.cli.printing import print_json

    found = selection.one()
    folder = api.fetch_checkpoint(found)
    if as_json_text:
        print_json({"id": found.id, "folder": str(folder)})
    else:
        click.echo(str(folder))
