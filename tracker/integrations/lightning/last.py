"""What ``ckpt_path="last"`` is: the newest checkpoint of the run that a training goes on in."""

from __future__ import annotations

import warnings
from typing import Any

from tracker.api.finding import get_checkpoint
from tracker.errors import NotFoundError, TrackerWarning
from tracker.integrations.lightning.place import RUNS, with_scheme
from tracker.integrations.lightning.run import TrainingRun, at, named_run


def find_last(logger: Any, run_id: str | None, before: TrainingRun | None) -> set[str]:
    """Return the newest checkpoint, as fsspec names it, if there is one.

    Args:
        logger: The Trainer's MLFlowLogger, or None.
        run_id: The run that was asked for, or None.
        before: The run that the same Trainer had in its last fit.

    Raises:
        RecordError: MLflow can't be reached; to begin anew would be wrong then.
    """
    named = named_run(logger, run_id, before)
    if named is None:
        warnings.warn(
            'ckpt_path="last" is the newest checkpoint of a run, and no run is named, so a new one '
            "begins. To go on in one, name it (TrackerCheckpoint(run_id=…), MLFlowLogger(run_id=…),"
            " mlflow.start_run(run_id=…) or MLFLOW_RUN_ID), or give the checkpoint itself: "
            'ckpt_path="runs:/RUN_ID".',
            TrackerWarning,
            stacklevel=4,
        )
        return set()
    uri = getattr(getattr(logger, "experiment", None), "tracking_uri", None)
    with at(uri if isinstance(uri, str) else None):
        try:
            found = get_checkpoint(named)
        except NotFoundError:
            return set()
    return {with_scheme(f"{RUNS}{named}/{found.name}")}
