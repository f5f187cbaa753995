"""What the registry holds: names, versions, and the checkpoints that these came from."""

from __future__ import annotations

import datetime
from dataclasses import replace

from tracker.record import aliases, version_tags, versions
from tracker.record.tags import PREFIX
from tracker.registry.version import RegisteredModel, RegisteredVersion


def registered_models() -> list[RegisteredModel]:
    """Return every name in the registry, by name; see `tracker.registered_models`."""
    return [
        RegisteredModel(
            name=model.name,
            description=model.description,
            aliases=dict(sorted(model.aliases.items())),
            previous={
                alias: tuple(held.version for held in aliases.history(model, alias))
                for alias in sorted(_ever(model))
            },
            updated_at=_at(model.updated_at),
        )
        for model in versions.models(versions.reachable_client())
    ]


def registered_versions(name: str) -> list[RegisteredVersion]:
    """Return the versions of a registered model; see `tracker.registered_versions`."""
    client = versions.reachable_client()
    model = versions.existing_model(client, name)
    return [_described(model, each) for each in versions.versions(client, name)]


def registered_version(name: str, number: int) -> RegisteredVersion:
    """Return what is public about one version.

    Raises:
        NotFoundError: There is no such version.
        RecordError: MLflow refused or could not be reached.
    """
    client = versions.reachable_client()
    model = versions.existing_model(client, name)
    return _described(model, versions.version(client, name, str(number)))


def check_registered(name: str) -> None:
    """Raise NotFoundError, with the names there are, unless this is one of them."""
    versions.existing_model(versions.reachable_client(), name)


def _described(model: versions.Model, found: versions.Version) -> RegisteredVersion:
    has = tuple(sorted(a for a, number in model.aliases.items() if number == found.number))
    return _public(found, has, _was(model, found.number))


def _was(model: versions.Model, number: int) -> tuple[tuple[str, datetime.datetime], ...]:
    return tuple(
        (alias, _at(held.until))
        for alias in sorted(_ever(model))
        for held in aliases.history(model, alias)
        if held.version == number
    )


def _ever(model: versions.Model) -> set[str]:
    """Return the aliases that the model has, or had."""
    start = len(aliases.HISTORY)
    noted = {key[start:] for key in model.tags if key.startswith(aliases.HISTORY)}
    return noted | set(model.aliases)


def _public(
    found: versions.Version,
    has: tuple[str, ...],
    was: tuple[tuple[str, datetime.datetime], ...],
) -> RegisteredVersion:
    """Return what is public about a version."""
    own = {k: v for k, v in found.tags.items() if not k.startswith((PREFIX, "mlflow."))}
    plain = RegisteredVersion(
        name=found.name,
        version=found.number,
        aliases=has,
        description=found.description,
        tags=own,
        registered_at=_at(found.created_at),
        was=was,
    )
    return _with_checkpoint(plain, found)


def _with_checkpoint(plain: RegisteredVersion, found: versions.Version) -> RegisteredVersion:
    try:
        record = version_tags.to_record(found.tags, artifact_uri="")
        card = version_tags.to_card(found.tags)
    except (ValueError, TypeError, AttributeError):
        return plain  # somebody has edited the tags in MLflow; one must not hide the others
    if record is None:
        return plain
    return replace(
        plain,
        checkpoint_id=found.checkpoint_id,
        checkpoint_name=record.name,
        run_id=record.run_id,
        experiment=record.experiment,
        epoch=record.epoch,
        step=record.step,
        metrics=dict(record.metrics),
        model_text=record.model_text,
        model_class=record.model_class,
        commit=card.commit,
        dirty=card.dirty,
        data=card.data,
    )


def _at(milliseconds: int) -> datetime.datetime:
    """Return a time of MLflow's in UTC."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
