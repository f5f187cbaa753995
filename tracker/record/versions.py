"""Versions of registered models in MLflow, and the checkpoints that they were made from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError
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
    with mlflow_errors(f"listing the versions of {name!r}"):
        found = list(map(from_mlflow, matching(client, f"name = {quote}{name}{quote}")))
    return sorted(found, key=lambda each: -each.number)


def matching(client: MlflowClient, filter_string: str) -> Iterator[ModelVersion]:
    """Yield the versions that match a filter of MLflow's, of whatever model, page by page."""
    token: str | None = None
    while True:
        page = client.search_model_versions(filter_string, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


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
        return from_mlflow(client.get_model_version(name, number))


def from_mlflow(found: ModelVersion) -> Version:
    """Return a version as MLflow's client describes it."""
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
