"""Commands that look after what there is: ``db upgrade``, ``reindex``, ``doctor``."""

from __future__ import annotations

import dataclasses
import sys

import click

from tracker.cli.options import json_option


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
@click.option("--anew", is_flag=True, help="Drop the catalog's tables first and make them again.")
@json_option
def reindex(anew: bool, as_json_text: bool) -> None:
    """Make the catalog again what MLflow holds.

    It finds what was deleted, restored or renamed in MLflow, and metrics that were logged later.
    With --anew it also repairs tables that are damaged; MLflow's own are left alone.
    """
    from tracker import api
    from tracker.cli.counting import counting
    from tracker.cli.printing import print_json

    with counting("checkpoints read from MLflow") as seen:
        count = api.reindex(seen, anew=anew)
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
