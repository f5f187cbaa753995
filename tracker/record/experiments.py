"""MLflow's experiments: their names, and where their artifacts go."""

from __future__ import annotations

import os

import mlflow.artifacts
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError
from tracker.record.boundary import ask_server, mlflow_errors, tracking_uri

_PAGE = 1000
_SEARCH = "/api/2.0/mlflow/experiments/search"


def names() -> dict[str, str]:
    """Return the names of all active experiments by id: one request for a thousand.

    A server is asked without MLflow's retries, so that whoever asks this first knows within seconds
    whether it answers.

    Raises:
        RecordError: MLflow can't be reached.
    """
    uri = tracking_uri()
    found: dict[str, str] = {}
    token: str | None = None
    while True:
        is_server = uri.startswith(("http://", "https://"))
        page, token = _page_of_server(uri, token) if is_server else _page(token)
        found.update(page)
        if not token:
            return found


def _page(token: str | None) -> tuple[dict[str, str], str | None]:
    with mlflow_errors("listing the experiments"):
        found = MlflowClient().search_experiments(max_results=_PAGE, page_token=token)
        return {each.experiment_id: each.name for each in found}, found.token


def _page_of_server(uri: str, token: str | None) -> tuple[dict[str, str], str | None]:
    asked = {"view_type": "ACTIVE_ONLY", "max_results": _PAGE, "page_token": token or ""}
    answer = ask_server(uri, _SEARCH, asked)
    with mlflow_errors("listing the experiments", uri):
        page = {each["experiment_id"]: each["name"] for each in answer.get("experiments", [])}
        return page, answer.get("next_page_token")


def in_force() -> str:
    """Return the name of the experiment that a run would be started in now.

    Raises:
        NotFoundError: There is no experiment of the id in ``MLFLOW_EXPERIMENT_ID``.
        RecordError: MLflow can't be reached.
    """
    # mlflow.set_experiment leaves the id in the environment, where it comes before a name.
    identifier = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if not identifier:
        return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
    known = names().get(identifier)
    if known is None:
        raise NotFoundError(
            f"There is no active experiment with the id {identifier!r}, which the environment "
            "variable MLFLOW_EXPERIMENT_ID names."
        )
    return known


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
