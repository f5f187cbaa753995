"""Commands that bring a checkpoint's files somewhere: ``export``, ``pull``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects

_PROGRAMS = ("pt2", "onnx")


@click.command()
@selects("[CHECKPOINT]")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "chosen",
    type=click.Choice(["safetensors", "pt", "pt2", "onnx"]),
    help="By default what PATH's suffix says, else safetensors.",
)
@click.option(
    "--example",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For pt2 and onnx, what the model is called with: a tensor, tuple or dict that torch.save "
    "wrote. By default the example that was logged.",
)
@click.option(
    "--trust",
    multiple=True,
    metavar="PACKAGE",
    help="For pt2 and onnx, a package that the model may refer to; may be given several times.",
)
@json_option
def export(
    selection: Selection,
    path: Path,
    chosen: str | None,
    example: Path | None,
    trust: tuple[str, ...],
    as_json_text: bool,
) -> None:
    """Write CHECKPOINT to PATH, one file that needs neither tracker nor MLflow.

    The weights as safetensors or pt (a state_dict, as torch.save writes it); or the model as a
    program, which runs without its class: pt2 of torch.export, or onnx.
    """
    from tracker import api
    from tracker.cli.printing import print_json, size

    found = selection.one()
    is_program = (chosen or path.suffix[1:]) in _PROGRAMS
    if is_program:
        sys.path.insert(0, os.getcwd())  # where the model's classes are looked for
    given = None if example is None else api.read_example(example)
    found.export(path, format=chosen, example_input=given, trust=trust or None)
    written = path.stat().st_size
    if as_json_text:
        print_json({"id": found.id, "path": str(path), "size": written})
    else:
        what = "the model of" if is_program else "the weights of"
        click.echo(f"{path} ({size(written)}): {what} {found.name}, {found.model_text}")


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
