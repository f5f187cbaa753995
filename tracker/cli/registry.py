"""``tracker register``, ``promote`` and ``models``: names for checkpoints in MLflow's registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.registry.version import RegisteredModel, RegisteredVersion

_alias_option = click.option(
    "--alias", metavar="ALIAS", help="Give the version this alias, such as champion."
)


@click.command()
@click.argument("source")
@click.argument("name")
@_alias_option
@click.option("--description", metavar="TEXT", help="What people should know about it.")
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag; may be given several times."
)
@json_option
def register(
    source: str,
    name: str,
    alias: str | None,
    description: str | None,
    tags: tuple[str, ...],
    as_json_text: bool,
) -> None:
    """Make the checkpoint SOURCE a version of the registered model NAME.

    SOURCE is an id or the beginning of one, runs:/… or models:/…. The version has files of its own:
    the checkpoint and its run may be deleted afterwards.
    """
    checkpoint = Selection((source,)).one()
    from tracker.api.registry import make_version

    found = make_version(
        checkpoint, name, alias=alias, description=description, tags=dict(map(_tag, tags))
    )
    _tell(found, as_json_text, "is registered as" if found.is_new else "was registered before as")


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option("--alias", default="champion", show_default=True, metavar="ALIAS", help="The alias.")
@click.option(
    "--rollback", is_flag=True, help="Give the alias back to the version that had it before."
)
@json_option
def promote(name: str, version: str | None, alias: str, rollback: bool, as_json_text: bool) -> None:
    """Give an alias of the registered model NAME to VERSION: a number, or what names a checkpoint.

    The version that had it is noted, so that --rollback gives it back; twice, to the one before
    that.
    """
    if rollback == (version is not None):
        raise click.UsageError("Give a VERSION to promote, or --rollback.")
    from tracker import api

    found = api.rollback(name, alias) if version is None else api.promote(name, version, alias)
    _tell(found, as_json_text, f"has the alias {alias!r} now:")


@click.command()
@click.argument("name", required=False)
@json_option
def models(name: str | None, as_json_text: bool) -> None:
    """List the registered models; or the versions of NAME, and where each came from."""
    from tracker import api
    from tracker.cli.printing import print_json, print_table

    if name is None:
        names = api.registered_models()
        if as_json_text:
            print_json([_model_json(each) for each in names])
        elif names:
            print_table(_models_table(names))
        else:
            click.echo("No model is registered.", err=True)
        return
    versions = api.registered_versions(name)
    if as_json_text:
        print_json([_version_json(each) for each in versions])
    elif versions:
        print_table(_versions_table(versions))
    else:
        click.echo(f"{name!r} has no version yet.", err=True)


def _tag(given: str) -> tuple[str, str]:
    key, separator, value = given.partition("=")
    if not separator:
        raise click.UsageError(f"--tag {given!r}: expected KEY=VALUE.")
    return key, value


def _tell(version: RegisteredVersion, as_json_text: bool, what: str) -> None:
    from tracker.cli.printing import print_json, printable

    if as_json_text:
        print_json({**_version_json(version), "is_new": version.is_new})
        return
    origin = version.checkpoint_name and f"{version.checkpoint_name} of run {version.run_id}"
    click.echo(printable(f"{origin or 'It'} {what} {version.uri}"))
    for alias in version.aliases:
        click.echo(f'model = tracker.load_model("models:/{version.name}@{alias}")')


def _version_json(version: RegisteredVersion) -> dict[str, Any]:
    known = asdict(version)
    del known["is_new"]
    return {
        "uri": version.uri,
        **known,
        "registered_at": version.registered_at.isoformat(),
        "was": [{"alias": alias, "until": until.isoformat()} for alias, until in version.was],
    }


def _model_json(model: RegisteredModel) -> dict[str, Any]:
    return {**asdict(model), "updated_at": model.updated_at.isoformat()}


def _versions_table(versions: list[RegisteredVersion]) -> Table:
    from tracker.cli import terminal
    from tracker.cli.checkpoint_table import table_of
    from tracker.cli.fitting import Column
    from tracker.cli.printing import number, texts

    metrics = (
        ", ".join(f"{name} {number(value)}" for name, value in (each.metrics or {}).items())
        for each in versions
    )
    had = (", ".join(dict(each.was)) for each in versions)
    columns = [
        Column("VERSION", texts(each.version for each in versions), right=True),
        Column("ALIASES", texts(", ".join(each.aliases) for each in versions), narrowest=10),
        Column("WAS", texts(had), rank=3),
        Column("EPOCH", texts(each.epoch for each in versions), right=True, rank=1),
        Column("METRICS", texts(metrics), narrowest=16, rank=1),
        Column("EXPERIMENT", texts(each.experiment for each in versions), narrowest=10, rank=2),
        Column("RUN", texts(each.run_id for each in versions), narrowest=8, rank=2),
        Column("COMMIT", texts((each.commit or "")[:10] for each in versions), rank=4),
        Column("MODEL", texts(each.model_text for each in versions), narrowest=12, rank=5),
    ]
    return table_of(columns, terminal.width())


def _models_table(models: list[RegisteredModel]) -> Table:
    from tracker.cli import terminal
    from tracker.cli.checkpoint_table import table_of
    from tracker.cli.fitting import Column
    from tracker.cli.printing import texts

    aliases = (", ".join(f"{alias} {v}" for alias, v in each.aliases.items()) for each in models)
    changed = (f"{each.updated_at:%Y-%m-%d %H:%M}" for each in models)
    columns = [
        Column("MODEL", texts(each.name for each in models), narrowest=12),
        Column("ALIASES", texts(aliases), narrowest=16),
        Column("CHANGED", texts(changed), rank=1),
        Column("DESCRIPTION", texts(each.description for each in models), narrowest=12, rank=2),
    ]
    return table_of(columns, terminal.width())
