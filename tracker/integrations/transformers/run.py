"""Which MLflow run a Trainer's checkpoints go to: one for a training, whoever has started it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

from tracker import settings
from tracker.errors import RecordUnreachableError, TrackerError, TrackerWarning
from tracker.record.boundary import check_reachable, mlflow_errors, tracking_uri
from tracker.record.runs import active_run_id
from tracker.training import random_state
from tracker.training.world import rank


def start_run(name: str | None) -> str | None:
    """Start a run, which becomes the active one, and return its id.

    Returns:
        None while MLflow can't be reached: `log_checkpoint` then makes one when it can.

    Raises:
        RecordError: MLflow refused.
    """
    if settings.offline():
        return None
    try:
        check_reachable(tracking_uri())
        # MLflow draws a name for the run from the random numbers of the training.
        with mlflow_errors("starting a run"), random_state.unchanged():
            run_id: str = mlflow.start_run(run_name=name).info.run_id
            return run_id
    except RecordUnreachableError:
        return None


def end_run(run_id: str) -> None:
    """End a run if it is the active one; its checkpoints are finished before.

    Raises:
        TrackerError: A checkpoint of it could not be saved, and nobody was told of it yet.
    """
    if active_run_id() == run_id:
        mlflow.end_run()


@contextmanager
def continued(run_id: str) -> Iterator[None]:
    """Let a run that has ended go on, as the active one, unless another is active.

    Where that can't be, a warning says so: training then goes on in a new run.
    """
    mine = False
    if active_run_id() is None and rank() == 0 and not settings.offline():
        try:
            with mlflow_errors(f"going on with run {run_id}"):
                mlflow.start_run(run_id=run_id)
            mine = True
        except TrackerError as error:
            warnings.warn(f"Training goes on in a new run: {error}", TrackerWarning, stacklevel=4)
    try:
        yield
    finally:
        if mine:
            end_run(run_id)
