"""MLflow runs: the one a checkpoint belongs to, and what is logged on it."""

from __future__ import annotations

import math
import posixpath
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import mlflow
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.errors import InvalidArgumentError, RecordError
from tracker.record.boundary import mlflow_errors

MAX_PARAM_LENGTH = 6000
"""Characters that MLflow keeps of a param's value."""

_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_MAX_NAME_LENGTH = 250
_PARAM_NAME = re.compile(r"[/\w.\- :]+")

_logged_params: dict[str, set[str]] = {}
"""Names of the params that each run is known to have: they are logged once, not every epoch."""

_known_runs: dict[tuple[str, str], Run] = {}
"""By tracking URI and id: a run's experiment stays what it is, so MLflow is asked once a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """The run that a checkpoint is logged to."""

    id: str
    experiment_id: str
    experiment: str
    artifact_location: str


def run_for_logging(client: MlflowClient, run_id: str | None) -> Run:
    """Return the run to log to: the given one, the active one, or a new one that becomes active.

    MLflow keeps an active run for each thread, so this belongs into the thread that trains. It asks
    the tracking store only about a run that it has not met.

    Raises:
        InvalidArgumentError: The id is no text.
        NotFoundError: There is no run of that id.
        RecordError: The run was deleted, or MLflow can't be reached.
    """
    check_run_id(run_id)
    doing = f"finding the run {run_id}" if run_id else "starting a run"
    with mlflow_errors(doing, client.tracking_uri):
        known = known_run(client.tracking_uri, run_id or active_run_id())
        if known is not None:
            return known
        found = client.get_run(run_id) if run_id else mlflow.active_run() or _start_run()
        if found.info.lifecycle_stage != "active":
            raise RecordError(
                f"Run {found.info.run_id} was deleted in MLflow, so nothing can be logged to it; "
                "restore it, or log to another run."
            )
        _logged_params.setdefault(found.info.run_id, set(found.data.params))
        experiment = client.get_experiment(found.info.experiment_id)
        run = Run(
            found.info.run_id,
            experiment.experiment_id,
            experiment.name,
            experiment.artifact_location,
        )
        _known_runs[client.tracking_uri, run.id] = run
        return run


def _start_run() -> mlflow.entities.Run:
    """Start a run, and leave Python's random numbers to training: MLflow draws a name from them."""
    before = random.getstate()
    try:
        return mlflow.start_run()
    finally:
        random.setstate(before)


def check_run_id(run_id: object) -> None:
    """Raise InvalidArgumentError unless a run's id is text, or None."""
    if run_id is not None and (not isinstance(run_id, str) or not run_id):
        raise InvalidArgumentError(f"run_id={run_id!r}: expected the id of an MLflow run.")


def known_run(tracking_uri: str, run_id: str | None) -> Run | None:
    """Return a run that MLflow was asked about before, or None."""
    return _known_runs.get((tracking_uri, run_id or ""))


def active_run_id() -> str | None:
    """Return the id of this thread's active run, without asking the tracking store."""
    active = mlflow.active_run()
    return active.info.run_id if active else None


def log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    *,
    step: int,
    model_id: str,
    timestamp: int,
) -> None:
    """Log metrics on the run at ``step``, linked to the logged model.

    A NaN is logged on the run alone: MLflow stores it as 0.0 on a logged model, where it would
    count as the best loss there ever was.

    Args:
        client: MLflow.
        run_id: The run.
        metrics: Values by name.
        step: The step of all of them.
        model_id: The logged model that they were measured on.
        timestamp: Milliseconds since 1970-01-01 UTC.
    """
    entities = [
        Metric(name, value, timestamp, step, model_id=None if math.isnan(value) else model_id)
        for name, value in metrics.items()
    ]
    with mlflow_errors(f"logging the metrics of run {run_id}", client.tracking_uri):
        for start in range(0, len(entities), _METRICS_PER_BATCH):
            client.log_batch(
                run_id, metrics=entities[start : start + _METRICS_PER_BATCH], synchronous=True
            )


def log_model_params(
    client: MlflowClient, run_id: str, model_class: str, params: Mapping[str, str]
) -> None:
    """Log the model's class and arguments as params ``model.class`` and ``model.<name>``.

    The prefix keeps them apart from the user's own hyperparameters, which often share the names
    and which MLflow does not allow to change. A param that the run has already stays as it is, and
    an argument whose name MLflow does not allow (from ``**kwargs``) is left out.
    """
    wanted = {"model.class": model_class, **{f"model.{k}": v for k, v in params.items()}}
    known = _logged_params.setdefault(run_id, set())
    missing = {k: v for k, v in wanted.items() if k not in known and _is_param_name(k)}
    with mlflow_errors(f"logging the params of run {run_id}", client.tracking_uri):
        try:
            _log_params(client, run_id, missing)
        except MlflowException as error:
            # The script, or another process of the run, has logged one of them in the meantime; or
            # does so at this moment, and the database has met both.
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise
            there = client.get_run(run_id).data.params
            _log_params(client, run_id, {k: v for k, v in missing.items() if k not in there})
    known.update(wanted)


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    entities = [Param(name, value[:MAX_PARAM_LENGTH]) for name, value in params.items()]
    for start in range(0, len(entities), _PARAMS_PER_BATCH):
        client.log_batch(
            run_id, params=entities[start : start + _PARAMS_PER_BATCH], synchronous=True
        )


def _is_param_name(name: str) -> bool:
    plain = _PARAM_NAME.fullmatch(name) is not None and posixpath.normpath(name) == name
    return plain and len(name) <= _MAX_NAME_LENGTH


def now() -> int:
    """Return the time as MLflow counts it: milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000
