"""What MLflow and its artifact store tell about the places of logged models."""

from __future__ import annotations

import math

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError, RecordError, RecordUnreachableError
from tracker.record.boundary import mlflow_errors

_PAGE = 1000


def models_location(client: MlflowClient, experiment_id: str) -> str:
    """Return where an experiment's logged models have their folders.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"asking where experiment {experiment_id} is", client.tracking_uri):
        location = client.get_experiment(experiment_id).artifact_location
    return f"{location.rstrip('/')}/models"


def names(location: str) -> list[str]:
    """Return what is in a place of a remote store: files and folders; none if it is not there.

    Raises:
        RecordUnreachableError: The store could not be reached.
    """
    import mlflow.artifacts

    try:
        with mlflow_errors(f"listing {location}"):
            found = mlflow.artifacts.list_artifacts(artifact_uri=location)
    except RecordUnreachableError:
        raise
    except (NotFoundError, RecordError):
        return []
    return [entry.path.rstrip("/").rpartition("/")[2] for entry in found]


def runs_by_output(client: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Return the run of every logged model that an experiment's runs have ever made, by its id.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    found: dict[str, str] = {}
    token: str | None = None
    with mlflow_errors("listing the outputs of runs", client.tracking_uri):
        while True:
            page = client.search_runs(
                [experiment_id], run_view_type=ViewType.ALL, max_results=_PAGE, page_token=token
            )
            for run in page:
                for output in run.outputs.model_outputs if run.outputs else ():
                    found[output.model_id] = run.info.run_id
            token = page.token
            if not token:
                return found


def has_run(client: MlflowClient, run_id: str) -> bool:
    """Return whether there is such a run, deleted or not.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    return run_end(client, run_id, missing=-math.inf) != -math.inf


def run_end(client: MlflowClient, run_id: str, missing: float = math.inf) -> float:
    """Return when a run ended, in seconds since 1970-01-01 UTC; infinite if it goes on.

    Args:
        client: MLflow.
        run_id: The run.
        missing: What to return if there is no such run.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    if not run_id:
        return missing
    try:
        with mlflow_errors(f"looking up run {run_id}", client.tracking_uri):
            ended = client.get_run(run_id).info.end_time
    except NotFoundError:
        return missing
    return math.inf if ended is None else ended / 1000
