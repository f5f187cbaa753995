"""MLflow's experiments: their names, and where their artifacts go."""

from __future__ import annotations

import os

import mlflow.artifacts
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors

_PAGE = 1000


def names() -> dict[str, str]:
    """Return the names of all active experiments by id.

    Raises:
        RecordError: MLflow can't be reached.
    """
    found: dict[str, str] = {}
    token: str | None = None
    with mlflow_errors("listing the experiments"):
        client = MlflowClient()
        while True:
            page = client.search_experiments(max_results=_PAGE, page_token=token)
            found.update({e.experiment_id: e.name for e in page})
            token = page.token
            if not token:
                return found


def artifact_location() -> str:
    """Return where the artifacts of the experiment in force go: the environment's, or Default."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    with mlflow_errors("asking for the artifact location"):
        experiment = MlflowClient().get_experiment_by_name(name)
        default = experiment or MlflowClient().get_experiment("0")
        location: str = default.artifact_location
        return location


def list_artifacts(uri: str) -> str:
    """List a remote artifact store, to see whether it answers; return what to tell about it.

    Raises:
        RecordError: It does not answer.
    """
    with mlflow_errors(f"listing the artifacts under {uri}"):
        count = len(mlflow.artifacts.list_artifacts(artifact_uri=uri))
    return f"answers; {count} entr{'ies' if count != 1 else 'y'} at the top"
