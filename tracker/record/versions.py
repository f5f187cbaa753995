"""Versions of registered models in MLflow, and the checkpoints that they were made from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.record import copies, version_tags
from tracker.record import tags as model_tags
from tracker.record.boundary import check_reachable, connect, mlflow_errors, tracking_uri
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_PAGE = 1000
_LOGGED_MODEL = re.compile(r"(?:^models:/|/models/)(m-\w+)(?:/artifacts)?/?$")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: The registered model.
        number: The version.
        description: Its description.
        tags: Its tags, tracker's own included.
        created_at: When it was registered, in milliseconds since 1970-01-01 UTC.
        model_id: The logged model that holds its files, if it is one.
    """

    name: str
    number: int
    description: str
    tags: Mapping[str, str]
    created_at: int
    model_id: str | None

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint that ``tracker.register`` made it from."""
        return self.tags.get(version_tags.CHECKPOINT)


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model.

    Attributes:
        name: Its name.
        description: Its description.
        aliases: Versions by alias.
        tags: Its tags.
        updated_at: When it was changed last, in milliseconds since 1970-01-01 UTC.
    """

    name: str
    description: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    updated_at: int


def reachable_client() -> MlflowClient:
    """Return MLflow's client for the tracking URI in force, if somebody answers there.

    MLflow's own would try again for minutes before it says that nobody does.

    Raises:
        RecordUnreachableError: Nobody does.
    """
    uri = tracking_uri()
    check_reachable(uri)
    return connect(uri)


def model(client: MlflowClient, name: str) -> Model | None:
    """Return a registered model, or None if there is none of the name.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    try:
        with mlflow_errors(f"looking up the registered model {name!r}"):
            found = client.get_registered_model(name)
    except NotFoundError:
        return None
    return _model(found)


def models(client: MlflowClient) -> list[Model]:
    """Return all registered models, by name.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    listed: list[Model] = []
    token: str | None = None
    with mlflow_errors("listing the registered models"):
        while True:
            page = client.search_registered_models(max_results=_PAGE, page_token=token)
            listed += map(_model, page)
            token = page.token
            if not token:
                return sorted(listed, key=lambda each: each.name)


def _model(found: RegisteredModel) -> Model:
    return Model(
        name=found.name,
        description=found.description or "",
        aliases={alias: int(number) for alias, number in (found.aliases or {}).items()},
        tags=dict(found.tags or {}),
        updated_at=int(found.last_updated_timestamp or 0),
    )


def existing_model(client: MlflowClient, name: str) -> Model:
    """Return a registered model.

    Raises:
        NotFoundError: There is none of the name; lists those that exist.
        RecordError: MLflow refused or could not be reached.
    """
    found = model(client, name)
    if found is None:
        listed = ", ".join(each.name for each in models(client)[:20]) or "none"
        raise NotFoundError(f"There is no registered model {name!r}. Registered models: {listed}.")
    return found


def versions(client: MlflowClient, name: str) -> list[Version]:
    """Return the versions of a registered model, the newest first; none if there is no model.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    quote = '"' if "'" in name else "'"
    found: list[Version] = []
    token: str | None = None
    with mlflow_errors(f"listing the versions of {name!r}"):
        while True:
            page = client.search_model_versions(
                f"name = {quote}{name}{quote}", max_results=_PAGE, page_token=token
            )
            found += map(_version, page)
            token = page.token
            if not token:
                return sorted(found, key=lambda each: -each.number)


def version(client: MlflowClient, name: str, which: str) -> Version:
    """Return a version by its number, by ``@alias``, or the ``latest``.

    Raises:
        NotFoundError: There is no such model, version or alias; lists what there is.
        RecordError: MLflow refused or could not be reached.
    """
    number = which
    if which.startswith("@"):
        aliases = existing_model(client, name).aliases
        if which[1:] not in aliases:
            listed = ", ".join(sorted(aliases)) or "none"
            raise NotFoundError(f"Model {name!r} has no alias {which[1:]!r}. Aliases: {listed}.")
        number = str(aliases[which[1:]])
    elif which == "latest":
        existing_model(client, name)
        found = versions(client, name)
        if not found:
            raise NotFoundError(f"Model {name!r} has no version yet.")
        return found[0]
    with mlflow_errors(f"looking up version {number} of {name!r}"):
        return _version(client.get_model_version(name, number))


def _version(found: ModelVersion) -> Version:
    # MLflow's own SQL registry leaves model_id empty; then the source says it.
    source = _LOGGED_MODEL.search(found.source or "")
    return Version(
        name=found.name,
        number=int(found.version),
        description=found.description or "",
        tags=dict(found.tags or {}),
        created_at=int(found.creation_timestamp or 0),
        model_id=found.model_id or (source[1] if source else None),
    )


def record_of(client: MlflowClient, found: Version) -> CheckpointRecord:
    """Return the checkpoint that a version is, from what MLflow says about the version.

    Raises:
        NotFoundError: It was not made from a checkpoint, or that is gone.
        RecordError: MLflow refused or could not be reached.
    """
    uri = f"models:/{found.name}/{found.number}"
    try:
        if version_tags.CHECKPOINT in found.tags:
            record = version_tags.to_record(found.tags, _place(client, found))
            if record is not None:
                return record
    except (ValueError, TypeError) as error:
        raise NotFoundError(
            f"{uri}: the tags that say which checkpoint it is can't be read ({error}); somebody "
            "has edited them in MLflow."
        ) from error
    record = _of_logged_model(client, found.model_id, uri)
    if record is None:
        raise NotFoundError(
            f"{uri!r} is a registered model that was not made from a checkpoint of tracker."
        )
    return record


def _place(client: MlflowClient, found: Version) -> str:
    with mlflow_errors(f"asking where version {found.number} of {found.name!r} is"):
        return str(client.get_model_version_download_uri(found.name, str(found.number)))


def _of_logged_model(
    client: MlflowClient, model_id: str | None, uri: str
) -> CheckpointRecord | None:
    """Return the checkpoint that was registered by MLflow's own means, without a copy."""
    if model_id is None:
        return None
    with mlflow_errors(f"looking up the logged model {model_id} of {uri}"):
        found = client.get_logged_model(model_id)
        experiment = client.get_experiment(found.experiment_id).name
    return model_tags.to_record(found, experiment)


def record_of_copy(client: MlflowClient, model_id: str) -> CheckpointRecord | None:
    """Return the checkpoint that a version is, by the id of the logged model with its files.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    name = copies.registered_model_of(client, model_id)
    for each in versions(client, name) if name else ():
        if each.tags.get(version_tags.MODEL_ID) == model_id:
            return record_of(client, each)
    return None


def is_checkpoint(client: MlflowClient, found: Version) -> bool:
    """Return whether a version was made from a checkpoint; one whose logged model is gone counts.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    if found.checkpoint_id is not None:
        return True
    if found.model_id is None:
        return False
    try:
        with mlflow_errors(f"looking up the logged model {found.model_id}"):
            kind = client.get_logged_model(found.model_id).model_type
            return bool(kind == model_tags.MODEL_TYPE)
    except NotFoundError:
        return True


def create_model(client: MlflowClient, name: str) -> None:
    """Make a registered model, unless there is one of the name.

    Raises:
        InvalidArgumentError: The name is that of a prompt.
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"creating the registered model {name!r}"):
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise
            # Prompts have their names from the same table, and are shown as no models.
            if model(client, name) is None:
                raise InvalidArgumentError(
                    f"{name!r} is the name of a prompt in MLflow; give the model another."
                ) from error


def create(
    client: MlflowClient,
    name: str,
    record: CheckpointRecord,
    *,
    description: str,
    tags: Mapping[str, str],
) -> Version:
    """Make a version of a registered model, whose files are those of a logged model.

    Args:
        client: MLflow.
        name: The registered model.
        record: The checkpoint; its id is that of the logged model.
        description: The version's description.
        tags: All of its tags.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"creating a version of the registered model {name!r}"):
        made = client.create_model_version(
            name,
            source=f"models:/{record.id}",
            run_id=record.run_id or None,
            tags=dict(tags),
            description=description,
            model_id=record.id,
            await_creation_for=0,  # nothing is copied: the version is READY
        )
        # By this MLflow's pages lead from the logged model to its version.
        linked = json.dumps([{"name": name, "version": str(made.version)}])
        client.set_logged_model_tags(record.id, {"mlflow.modelVersions": linked})
        return _version(made)


def describe(
    client: MlflowClient, found: Version, description: str | None, tags: Mapping[str, str]
) -> None:
    """Give a version a description, unless that is None, and further tags.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    number = str(found.number)
    with mlflow_errors(f"describing version {number} of {found.name!r}"):
        if description is not None:
            client.update_model_version(found.name, number, description)
        for key, value in tags.items():
            client.set_model_version_tag(found.name, number, key, value)


def delete(client: MlflowClient, found: Version) -> None:
    """Delete a version.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"deleting version {found.number} of {found.name!r}"):
        client.delete_model_version(found.name, str(found.number))
