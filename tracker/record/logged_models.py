"""MLflow logged models: one a checkpoint, PENDING until everything is written, then READY."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import LoggedModelOutput
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError
from tracker.record.boundary import mlflow_errors
from tracker.record.runs import MAX_PARAM_LENGTH, Run
from tracker.record.tags import MODEL_TYPE

_log = logging.getLogger("tracker")


@dataclass(frozen=True, slots=True)
class Created:
    """A logged model that was created and is PENDING."""

    id: str
    artifact_uri: str
    created_at: int


def create(
    client: MlflowClient,
    run: Run,
    *,
    name: str,
    step: int,
    tags: Mapping[str, str],
    params: Mapping[str, str],
) -> Created:
    """Create a PENDING logged model and link it to the run as its output at ``step``."""
    with mlflow_errors(f"creating the logged model {name!r} of run {run.id}", client.tracking_uri):
        model = client.create_logged_model(
            run.experiment_id,
            name=name,
            source_run_id=run.id,
            tags=dict(tags),
            params={key: value[:MAX_PARAM_LENGTH] for key, value in params.items()},
            model_type=MODEL_TYPE,
        )
        try:
            client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step)])
        except BaseException:
            fail(client, model.model_id)
            raise
        return Created(model.model_id, model.artifact_location, model.creation_timestamp)


def finish(client: MlflowClient, model_id: str, tags: Mapping[str, str]) -> None:
    """Make the logged model READY: the commit point of a checkpoint."""
    with mlflow_errors(f"finishing the logged model {model_id}", client.tracking_uri):
        client.set_logged_model_tags(model_id, dict(tags))
        client.finalize_logged_model(model_id, "READY")


def fail(client: MlflowClient, model_id: str) -> None:
    """Mark the logged model FAILED, as far as MLflow can still be reached."""
    try:
        client.finalize_logged_model(model_id, "FAILED")
    except Exception as error:  # noqa: BLE001 - it must not hide the error that brought us here
        _log.warning("Logged model %s could not be marked FAILED: %s", model_id, error)


def delete(client: MlflowClient, model_id: str) -> None:
    """Delete a logged model; MLflow keeps its files until they are collected."""
    with mlflow_errors(f"deleting the logged model {model_id}", client.tracking_uri):
        client.delete_logged_model(model_id)


def artifact_uri(model_id: str) -> str:
    """Return where a logged model's files are.

    Raises:
        NotFoundError: There is no such logged model, or it was deleted.
        RecordError: MLflow can't be reached.
    """
    with mlflow_errors(f"looking up the logged model {model_id}"):
        return str(MlflowClient().get_logged_model(model_id).artifact_location)


def is_there(model_id: str) -> bool:
    """Return whether there is such a logged model, not deleted.

    Raises:
        RecordError: MLflow can't be reached.
    """
    try:
        artifact_uri(model_id)
    except NotFoundError:
        return False
    return True


def prepare_database(uri: str) -> None:
    """Make MLflow's own tables in a database that lacks them.

    MLflow's ``db upgrade`` fails on a database that holds only other tables, so MLflow's come
    first wherever tracker's are added.
    """
    with mlflow_errors("creating MLflow's tables"):
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
