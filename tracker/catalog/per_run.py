"""The best checkpoint of every run, and the history of a metric within runs.

However many checkpoints a run has, it costs one look-up: the runs of an experiment are found by
going from each to the next in an index, and the best of a run is one end of another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Connection, Engine, ScalarSelect, func, select
from sqlalchemy.orm import aliased

from tracker.catalog.ranking import by_value, earliest, ranked_conditions
from tracker.catalog.records import load_selected
from tracker.catalog.scope import Scope, checkpoint_conditions, experiment_ids, visible_runs
from tracker.catalog.tables import Checkpoint, Experiment, Metric
from tracker.catalog.transactions import reading
from tracker.types import CheckpointRecord, Mode

_RUNS_PER_QUERY = 5_000
"""Databases bound the parameters of one statement (SQLite: 32,766)."""

_NO_LIMIT = 2**63 - 1


def best_of_each_run(
    engine: Engine,
    scope: Scope,
    metric: str,
    mode: Mode,
    *,
    limit: int | None = 100,
    offset: int = 0,
) -> list[CheckpointRecord]:
    """Return the best checkpoint of every run, the best run first.

    Within a run and between runs ties go as in `tracker.catalog.best`. A run without a number for
    the metric (or without a checkpoint that matches the filter) is left out.

    Args:
        engine: The catalog.
        scope: Which checkpoints.
        metric: The metric's name.
        mode: ``min`` or ``max``.
        limit: How many runs at most; None: all.
        offset: How many runs to skip.

    Example:
        >>> best_of_each_run(engine, Scope(("digits",)), "val_loss", "min", limit=10)
    """
    with reading(engine, one_moment=scope.visible is not None) as connection:
        runs = _runs(connection, scope)
        best = _best_of(runs, connection, scope, metric, mode)
        # The limit is none; it keeps databases from evaluating it again wherever it is mentioned.
        best_ones = select(best.label("id")).select_from(runs).limit(_NO_LIMIT).subquery()
        found = aliased(Metric)
        # An outer join keeps the runs in the outer loop, whatever a database knows of sizes.
        query = (
            select(best_ones.c.id)
            .outerjoin(found, (found.checkpoint_id == best_ones.c.id) & (found.key == metric))
            .where(best_ones.c.id.is_not(None))
            .order_by(by_value(mode, found), *earliest(found))
        )
        return load_selected(connection, query.limit(limit).offset(offset or None))


def history(
    engine: Engine,
    run_ids: Sequence[str],
    metric: str,
    visible: frozenset[str] | None = None,
) -> dict[str, list[tuple[int | None, float]]]:
    """Return the values of a metric over the epochs of runs.

    Args:
        engine: The catalog.
        run_ids: The runs; one query answers for 5,000.
        metric: The metric's name.
        visible: See `Scope`; of other runs there are no values.

    Returns:
        For every given run, in the given order, its pairs of epoch and value; NaN included. They
        ascend by epoch; checkpoints without one come first, in the order in which they were made.

    Example:
        >>> history(engine, ["0a1b"], "val_loss")
        {'0a1b': [(0, 0.9), (1, 0.5), (2, nan)]}
    """
    values: dict[str, list[tuple[int | None, float]]] = {run_id: [] for run_id in run_ids}
    wanted = list(values)
    with reading(engine) as connection:
        for start in range(0, len(wanted), _RUNS_PER_QUERY):
            seen = visible_runs(connection, wanted[start : start + _RUNS_PER_QUERY], visible)
            query = (
                select(Metric.run_id, Metric.epoch, Metric.value)
                .where(Metric.run_id.in_(seen), Metric.key == metric)
                .order_by(Metric.epoch.asc().nulls_first(), Metric.created_at, Metric.checkpoint_id)
            )
            for run_id, epoch, value in connection.execute(query):
                values[run_id].append((epoch, math.nan if value is None else value))
    return values


def _runs(connection: Connection, scope: Scope) -> CTE:
    """Return the runs of a scope as a column ``run_id``, where NULL is none."""
    if scope.run_id is not None:
        place = checkpoint_conditions(connection, scope.without_filter())
        return select(Checkpoint.run_id).where(*place).limit(1).cte("runs")
    starts = select(Experiment.id.label("experiment_id"), _next_run(Experiment.id, None))
    ids = experiment_ids(connection, scope)
    if ids is not None:
        starts = starts.where(Experiment.id.in_(ids))
    runs = starts.cte("runs", recursive=True)
    following = select(runs.c.experiment_id, _next_run(runs.c.experiment_id, runs.c.run_id))
    return runs.union_all(following.where(runs.c.run_id.is_not(None)))


def _next_run(experiment_id: Any, run_id: Any) -> Any:
    later = select(func.min(Checkpoint.run_id)).where(Checkpoint.experiment_id == experiment_id)
    if run_id is not None:
        later = later.where(Checkpoint.run_id > run_id)
    return later.correlate_except(Checkpoint).scalar_subquery().label("run_id")


def _best_of(
    runs: CTE, connection: Connection, scope: Scope, metric: str, mode: Mode
) -> ScalarSelect[Any]:
    # Nothing of the experiment: a database might look there, instead of in the run alone.
    conditions = ranked_conditions(connection, Scope(None, None, scope.filter_string), metric)
    return (
        select(Metric.checkpoint_id)
        .where(Metric.run_id == runs.c.run_id, *conditions)
        .order_by(by_value(mode), *earliest())
        .limit(1)
        .correlate(runs)
        .scalar_subquery()
    )
