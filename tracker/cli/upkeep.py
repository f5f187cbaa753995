"""Commands that act: ``export``, ``db upgrade``, ``reindex``, ``doctor``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from tracker.cli.find import json_option


@click.command()
@click.argument("checkpoint")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(checkpoint: str, path: Path, as_json_text: bool) -> None:
    """Write the weights of CHECKPOINT to PATH, one safetensors file that needs nothing else."""
    from tracker import api
    from tracker.cli.printing import print_json, size

    found = api.as_checkpoint(checkpoint)
    found.export(path)
    written = path.stat().st_size
    if as_json_text:
        print_json({"id": found.id, "path": str(path), "size": written})
    else:
        click.echo(f"{path} ({size(written)}): the weights of {found.name}, {found.model_text}")


@click.group()
def db() -> None:
    """Look after the catalog's tables."""


@db.command("upgrade")
@json_option
def upgrade(as_json_text: bool) -> None:
    """Create the catalog's tables, or bring them up to date.

    Needed once on a server's database, and after installing a newer tracker; a SQLite catalog
    looks after itself.
    """
    from tracker import api
    from tracker.cli.printing import print_json

    done = api.upgrade_database()
    if as_json_text:
        print_json(dataclasses.asdict(done))
    else:
        click.echo(f"{done.uri}: the catalog is at schema {done.revision}.")


@click.command()
@json_option
def reindex(as_json_text: bool) -> None:
    """Enter every checkpoint that MLflow holds into the catalog."""
    from tracker import api
    from tracker.cli.printing import print_json

    count = api.reindex()
    if as_json_text:
        print_json({"checkpoints": count})
    else:
        click.echo(f"{count} checkpoints are in the catalog.")


@click.command()
@json_option
def doctor(as_json_text: bool) -> None:
    """Say what tracking URI, catalog, artifact store and versions are in force, and if they answer.

    The exit status is 1 if one does not answer.
    """
    from tracker import api
    from tracker.cli.printing import print_json

    findings = api.diagnose()
    if as_json_text:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark, colour = {True: ("ok", "green"), False: ("FAILS", "red"), None: ("-", "yellow")}[
                finding.ok
            ]
            click.secho(f"{mark:<6}", fg=colour, nl=False)
            detail = f"  ({finding.detail})" if finding.detail else ""
            click.echo(f"{finding.name:<{width}}  {finding.value}{detail}")
    if any(finding.ok is False for finding in findings):
        sys.exit(1)
