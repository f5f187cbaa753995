"""What is written into MLflow's registry: names, and versions with all that is known about them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.errors import InvalidArgumentError
from tracker.record.boundary import mlflow_errors
from tracker.record.versions import Version, from_mlflow, model
from tracker.types import CheckpointRecord


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
        return from_mlflow(made)


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
