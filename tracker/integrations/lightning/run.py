"""Which MLflow run a Trainer's checkpoints go to, and who ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlflow

from tracker.record import runs
from tracker.record.boundary import mlflow_errors, tracking_uri
from tracker.saving import destination


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The run that the checkpoints of a training go to.

    Attributes:
        tracking_uri: The tracking store that it is in.
        run_id: Its id, or None if it is yet to be made, because MLflow could not be asked.
        label: Its id, or what stands for it until it has one.
        is_own: Whether it was started for this training, which ends it.
        has_logger: Whether Lightning's MLFlowLogger logs to it, too.
    """

    tracking_uri: str
    run_id: str | None
    label: str
    is_own: bool = False
    has_logger: bool = False


def find_run(logger: Any, run_id: str | None, before: TrainingRun | None) -> TrainingRun:
    """Return the run for a training that begins: start one, if there is none.

    In this order: the one that was asked for; that of an MLFlowLogger; MLflow's active run; the one
    that this Trainer had before; ``MLFLOW_RUN_ID``; a new one in the experiment in force.

    Args:
        logger: The Trainer's MLFlowLogger, or None.
        run_id: The run that was asked for, or None.
        before: The run that the same Trainer had in its last fit.

    Raises:
        NotFoundError: There is no run of that id.
        RecordError: MLflow refused.
    """
    if logger is not None:
        of_logger, uri = logger.run_id, str(logger.experiment.tracking_uri)
        if run_id in (None, of_logger):
            found = destination.find(uri, of_logger)
            return TrainingRun(uri, found.run_id, found.label, has_logger=True)
    uri = tracking_uri()
    active = runs.active_run_id()
    if run_id is None and active is None and before is not None and before.run_id is not None:
        _activate(before.run_id)
        return TrainingRun(uri, before.run_id, before.label, is_own=True)
    found = destination.find(uri, run_id)
    is_own = run_id is None and active is None and runs.active_run_id() is not None
    return TrainingRun(uri, found.run_id, found.label, is_own=is_own)


def named_run(logger: Any, run_id: str | None, before: TrainingRun | None) -> str | None:
    """Return the id of the run that a training would go on in, without starting one."""
    known = (
        run_id,
        None if logger is None else logger.run_id,
        runs.active_run_id(),
        None if before is None else before.run_id,
        os.environ.get("MLFLOW_RUN_ID"),
    )
    return next((each for each in known if each), None)


def end_own(run: TrainingRun, status: str) -> None:
    """End a run that was started for a training, unless somebody else did.

    Args:
        run: The run.
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
    """
    if run.is_own and run.run_id is not None and runs.active_run_id() == run.run_id:
        mlflow.end_run(status)


def _activate(run_id: str) -> None:
    with mlflow_errors(f"going on with the run {run_id}"):
        mlflow.start_run(run_id=run_id)


@contextmanager
def at(uri: str | None) -> Iterator[None]:
    """Let MLflow's tracking URI be this one while the block runs."""
    before = tracking_uri()
    if uri is None or uri == before:
        yield
        return
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
