"""Runs that imported checkpoints go to, and what runs already know: histories and artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mlflow.artifacts import download_artifacts
from mlflow.entities import Experiment
from mlflow.tracking import MlflowClient

from tracker.errors import RecordError
from tracker.record import mlflow_bar, runs, sessions
from tracker.record.boundary import mlflow_errors
from tracker.record.tags import PREFIX

_TAG = PREFIX + "import"
_SOURCE = PREFIX + "imported_from"
_KIND = "mlflow.experimentKind"
_MAX_METRICS = 200
_MAX_FOLDERS = 10_000

Points: TypeAlias = Mapping[str, Mapping[int, float]]
"""Values by metric and step."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where checkpoints of one place go.

    Attributes:
        experiment: The experiment's name, or None for the one in force.
        key: What the run is found by when the same place is imported again.
        name: The name of the run.
        source: Where its checkpoints came from.
    """

    experiment: str | None
    key: str
    name: str
    source: str


def find(client: MlflowClient, target: Target) -> runs.Run | None:
    """Return the run that an earlier import of the same place has made, or None.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors("looking for the run of an earlier import", client.tracking_uri):
        experiment = _experiment(client, target.experiment)
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{_TAG}` = '{target.key}'", max_results=1
        )
    return runs.run_for_logging(client, found[0].info.run_id) if found else None


def make(client: MlflowClient, target: Target) -> runs.Run:
    """Return a new run, which has ended already; its experiment is made if it is not there.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors("making a run for imported checkpoints", client.tracking_uri):
        experiment = _experiment(client, target.experiment) or _new(client, target.experiment)
        tags = {**sessions.begin().tags, _TAG: target.key, _SOURCE: target.source[:5000]}
        run = client.create_run(experiment.experiment_id, run_name=target.name or None, tags=tags)
        client.update_run(run.info.run_id, status="FINISHED")
    return runs.run_for_logging(client, run.info.run_id)


def experiment_name(client: MlflowClient, name: str | None) -> str | None:
    """Return the name of an experiment, of the one in force by default; None if it is not there.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors("looking for the experiment", client.tracking_uri):
        found = _experiment(client, name)
        return None if found is None else str(found.name)


def _experiment(client: MlflowClient, name: str | None) -> Experiment | None:
    session = sessions.begin()
    if name is None and session.experiment_id is not None:
        return client.get_experiment(session.experiment_id)
    found = client.get_experiment_by_name(name or session.experiment or "Default")
    if found is None and name is None and session.experiment is None:
        return client.get_experiment("0")
    if found is not None and found.lifecycle_stage != "active":
        raise RecordError(
            f"The experiment {found.name!r} was deleted in MLflow; restore it, or name another one."
        )
    return found


def _new(client: MlflowClient, name: str | None) -> Experiment:
    wanted = name or sessions.begin().experiment or "Default"
    # MLflow's page of an experiment without this tag opens in a mode that shows no training runs.
    made = client.create_experiment(wanted, tags={_KIND: "custom_model_development"})
    return client.get_experiment(made)


def points(client: MlflowClient, run_id: str) -> Points:
    """Return the history of a run's metrics; of two values at one step the later.

    Raises:
        NotFoundError: There is no such run.
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"reading the metrics of run {run_id}", client.tracking_uri):
        names = sorted(client.get_run(run_id).data.metrics)[:_MAX_METRICS]
        histories = {name: client.get_metric_history(run_id, name) for name in names}
    return {
        name: {m.step: m.value for m in sorted(history, key=lambda m: m.timestamp)}
        for name, history in histories.items()
    }


def artifact_uri(client: MlflowClient, run_id: str) -> str:
    """Return where a run's artifacts are.

    Raises:
        NotFoundError: There is no such run.
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"looking up run {run_id}", client.tracking_uri):
        return str(client.get_run(run_id).info.artifact_uri)


def artifact_paths(client: MlflowClient, run_id: str, below: str) -> list[str]:
    """Return the paths of a run's artifacts, of all folders.

    Args:
        client: MLflow.
        run_id: The run.
        below: A folder or file among them, or "" for all.

    Raises:
        NotFoundError: There is no such run.
        RecordError: MLflow refused, could not be reached, or there are too many folders.
    """
    found: list[str] = []
    pending, seen = [below], 0
    with mlflow_errors(f"listing the artifacts of run {run_id}", client.tracking_uri):
        while pending:
            seen += 1
            if seen > _MAX_FOLDERS:
                raise RecordError(
                    f"Run {run_id} has more than {_MAX_FOLDERS} folders of artifacts."
                )
            folder = pending.pop()
            for each in client.list_artifacts(run_id, folder or None):
                (pending if each.is_dir else found).append(each.path)
    return found


def fetch_artifact(client: MlflowClient, run_id: str, path: str, into: Path) -> None:
    """Bring one artifact of a run into a folder, below which it has the path that it has there.

    Raises:
        NotFoundError: It is gone.
        RecordError: MLflow refused or could not be reached, or the path leads out of the folder.
    """
    place = into / path
    if ".." in place.parts or not place.is_relative_to(into):
        raise RecordError(f"{path!r} of run {run_id} leads out of its folder; it is not fetched.")
    place.parent.mkdir(parents=True, exist_ok=True)
    doing = f"downloading {path} of run {run_id}"
    with mlflow_errors(doing, client.tracking_uri), mlflow_bar.hidden():
        download_artifacts(
            run_id=run_id,
            artifact_path=path,
            dst_path=str(place.parent),
            tracking_uri=client.tracking_uri,
        )
