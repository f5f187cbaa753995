"""Runs that are yet to be made: a training began while MLflow could not be asked for one.

A session is all that its run needs, taken from this process alone. Whoever can reach MLflow first
makes the run, tagged with the session's id, so that every checkpoint of the session finds it.
"""

from __future__ import annotations

import getpass
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import Experiment, Run
from mlflow.tracking import MlflowClient

from tracker.record import runs
from tracker.record.boundary import mlflow_errors
from tracker.record.tags import PREFIX

_TAG = PREFIX + "session"


@dataclass(frozen=True, slots=True)
class Session:
    """A training whose run is yet to be made.

    Attributes:
        id: The run's tag ``tracker.session``.
        experiment_id: The experiment in force when it began, if its id was known.
        experiment: Else its name, or None for Default.
        started_at: Milliseconds since 1970-01-01 UTC.
        tags: What MLflow shows of where the run came from.
    """

    id: str
    experiment_id: str | None
    experiment: str | None
    started_at: int
    tags: Mapping[str, str]


def begin() -> Session:
    """Return a new session of this process; nothing is asked of MLflow."""
    return Session(
        id=uuid.uuid4().hex,
        # mlflow.set_experiment leaves the id in the environment.
        experiment_id=os.environ.get("MLFLOW_EXPERIMENT_ID") or None,
        experiment=os.environ.get("MLFLOW_EXPERIMENT_NAME") or None,
        started_at=runs.now(),
        tags={
            "mlflow.user": getpass.getuser(),
            "mlflow.source.name": sys.argv[0],
            "mlflow.source.type": "LOCAL",
        },
    )


def run_of(client: MlflowClient, session: Session) -> runs.Run:
    """Return the session's run, which is made, as one that has ended, if it is not there yet.

    Two processes must not do this for one session at the same time.

    Raises:
        NotFoundError: The experiment is not there any more.
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors("finding or making the run of a session", client.tracking_uri):
        experiment = _experiment(client, session)
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{_TAG}` = '{session.id}'", max_results=1
        )
        run = found[0] if found else _make(client, experiment.experiment_id, session)
    return runs.run_for_logging(client, run.info.run_id)


def _make(client: MlflowClient, experiment_id: str, session: Session) -> Run:
    run = client.create_run(
        experiment_id, start_time=session.started_at, tags={**session.tags, _TAG: session.id}
    )
    # Nobody else will end it, nobody knows when it ended, and a run that has ended takes more.
    client.update_run(run.info.run_id, status="FINISHED")
    return run


def _experiment(client: MlflowClient, session: Session) -> Experiment:
    if session.experiment_id is not None:
        return client.get_experiment(session.experiment_id)
    if session.experiment is None:
        return client.get_experiment("0")
    named = client.get_experiment_by_name(session.experiment)
    return named or client.get_experiment(client.create_experiment(session.experiment))
