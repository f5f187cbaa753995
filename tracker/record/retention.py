"""Which logged models have to keep their files, because later checkpoints of the run refer to them.

A checkpoint may be replaced at the very moment when another begins to refer to it, in another
process. Who refers says so first and then looks whether the other was replaced; who replaces says
so first and then looks whether anybody refers. So at least one of the two sees the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.tags import KEPT, REFERENCES, REPLACED_BY


def refer(client: MlflowClient, model_id: str, others: Sequence[str]) -> bool:
    """Say in MLflow that a checkpoint, PENDING yet, needs files of others.

    Returns:
        Whether all of these stay; if not, the checkpoint must not become READY as it is.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"noting what {model_id} refers to", client.tracking_uri):
        client.set_logged_model_tags(model_id, {REFERENCES: ",".join(others)})
        return all(_stays(client, other) for other in others)


def _stays(client: MlflowClient, model_id: str) -> bool:
    try:
        tags = client.get_logged_model(model_id).tags or {}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return REPLACED_BY not in tags or KEPT in tags


def retire(client: MlflowClient, model_id: str, experiment_id: str, *, replaced_by: str) -> bool:
    """Take a checkpoint that was replaced out of MLflow, but not the files that others need.

    Args:
        client: MLflow.
        model_id: The checkpoint.
        experiment_id: Its experiment.
        replaced_by: What replaced it.

    Returns:
        Whether its logged model stays, as no checkpoint any more, for the sake of others. Else it
        was deleted, and MLflow keeps its files until they are collected.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"deleting the logged model {model_id}", client.tracking_uri):
        client.set_logged_model_tags(model_id, {REPLACED_BY: replaced_by})
        if _is_referred_to(client, model_id, experiment_id):
            client.set_logged_model_tags(model_id, {KEPT: "others refer to its files"})
            return True
        client.delete_logged_model(model_id)
        return False


def _is_referred_to(client: MlflowClient, model_id: str, experiment_id: str) -> bool:
    return bool(
        client.search_logged_models(
            [experiment_id],
            filter_string=f"tags.`{REFERENCES}` LIKE '%{model_id}%'",
            max_results=1,
        )
    )
