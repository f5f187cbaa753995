"""The names that the catalog holds, as it stands: for shells, which complete them as one types.

A mirror of an MLflow server is not brought up to date first, because that takes longer than anyone
waits for a completion.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracker import catalog, settings
from tracker.catalog import Engine, Scope
from tracker.service import location, questions

_MAX_RUNS = 50


def experiments() -> list[str]:
    """Return the experiments that have checkpoints.

    Raises:
        TrackerError: There is no catalog, or it can't be used.
    """
    service = location.in_force(settings.tracking_uri())
    if service is not None:
        return questions.experiments(service)
    return catalog.experiment_names(_catalog())


def runs(experiments: Sequence[str] = ()) -> list[str]:
    """Return the ids of the runs with the newest checkpoints, of some experiments or of all.

    Raises:
        TrackerError: There is no catalog, or it can't be used.
    """
    service = location.in_force(settings.tracking_uri())
    if service is not None:
        return questions.runs(service, experiments, _MAX_RUNS)
    return catalog.run_ids(_catalog(), Scope(tuple(experiments) or None), _MAX_RUNS)


def metrics(experiments: Sequence[str] = ()) -> list[str]:
    """Return the metrics of checkpoints, of some experiments or of all.

    Raises:
        TrackerError: There is no catalog, or it can't be used.
    """
    service = location.in_force(settings.tracking_uri())
    if service is not None:
        return questions.metrics(service, experiments)
    return catalog.metric_names(_catalog(), Scope(tuple(experiments) or None))


def _catalog() -> Engine:
    return catalog.open_for_reading(settings.tracking_uri())
