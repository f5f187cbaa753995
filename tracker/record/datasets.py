"""The datasets that a run was given, as MLflow's ``log_input`` notes them."""

from __future__ import annotations

from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError
from tracker.record.boundary import mlflow_errors


def datasets(client: MlflowClient, run_id: str) -> tuple[dict[str, str], ...]:
    """Return name, digest and context of each dataset of a run; none if the run is gone.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    if not run_id:
        return ()
    try:
        with mlflow_errors(f"asking for the datasets of run {run_id}"):
            inputs = client.get_run(run_id).inputs
    except NotFoundError:
        return ()
    found = []
    for each in inputs.dataset_inputs if inputs else ():
        context = {tag.key: tag.value for tag in each.tags}.get("mlflow.data.context")
        known = {"name": each.dataset.name, "digest": each.dataset.digest, "context": context}
        found.append({key: value for key, value in known.items() if value})
    return tuple(found)
