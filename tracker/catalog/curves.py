"""The points of metric curves: the checkpoints of some runs with their values, thinned if many."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, Row, Select, case, func, or_, select

from tracker.catalog.scope import (
    Scope,
    checkpoint_conditions,
    metric_conditions,
    visible_runs,
)
from tracker.catalog.tables import Checkpoint, Metric
from tracker.catalog.transactions import reading


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint on a curve.

    Attributes:
        run_id: The run whose curve it is on.
        checkpoint_id: The checkpoint.
        name: Its name, for example ``epoch-6``.
        epoch: Its epoch, or None.
        step: Its step, or None.
        created_at: Milliseconds since 1970-01-01 UTC.
        value: The metric's value; a NaN is a NaN.
    """

    run_id: str
    checkpoint_id: str
    name: str
    epoch: int | None
    step: int | None
    created_at: int
    value: float


@dataclass(frozen=True, slots=True)
class RunPoints:
    """The points of one run's curve.

    Attributes:
        points: Its checkpoints by epoch and time; not all if there are too many.
        total: How many there are.
    """

    points: tuple[Point, ...]
    total: int


def curve_points(
    engine: Engine,
    scope: Scope,
    metric: str,
    run_ids: Sequence[str],
    *,
    most_per_run: int,
    kept: Collection[str] = (),
) -> dict[str, RunPoints]:
    """Return by run the checkpoints that have a metric; a run without any is left out.

    Args:
        engine: The catalog.
        scope: Which checkpoints; their runs are within it.
        metric: The metric's name.
        run_ids: The runs.
        most_per_run: Of a run with more, about so many at equal distances are returned, and the
            last one.
        kept: Ids of checkpoints that are returned in any case.

    Example:
        >>> curve_points(engine, Scope(("digits",)), "val_loss", ["0a1b"], most_per_run=1000)
    """
    if not run_ids:
        return {}
    with reading(engine) as connection:
        run_ids = visible_runs(connection, run_ids, scope.visible)
        # Nothing of the experiment at first: a run's index does not hold it.
        conditions = metric_conditions(connection, Scope(filter_string=scope.filter_string))
        query = _thinned(conditions, metric, run_ids, most_per_run, kept)
        rows = connection.execute(
            query.where(*checkpoint_conditions(connection, scope.without_filter()))
        )
        return {
            run_id: _run_points(list(of_run))
            for run_id, of_run in groupby(rows, key=lambda row: str(row.run_id))
        }


def _run_points(rows: Sequence[Row[Any]]) -> RunPoints:
    points = (
        Point(
            run_id=row.run_id,
            checkpoint_id=row.checkpoint_id,
            name=row.name,
            epoch=row.epoch,
            step=row.step,
            created_at=row.created_at,
            value=math.nan if row.value is None else row.value,
        )
        for row in rows
    )
    return RunPoints(tuple(points), rows[0].total)


def _thinned(
    conditions: Sequence[Any],
    metric: str,
    run_ids: Sequence[str],
    most_per_run: int,
    kept: Collection[str],
) -> Select[Any]:
    # First which, from the metrics' index; then the rest of those alone.
    by_time = (Metric.epoch.asc().nulls_first(), Metric.created_at, Metric.checkpoint_id)
    position = func.row_number().over(partition_by=Metric.run_id, order_by=by_time)
    numbered = (
        select(
            *(Metric.run_id, Metric.checkpoint_id, Metric.epoch, Metric.created_at, Metric.value),
            (position - 1).label("position"),
            func.count().over(partition_by=Metric.run_id).label("total"),
        )
        .where(*conditions, Metric.run_id.in_(run_ids), Metric.key == metric)
        .subquery()
    )
    row = numbered.c
    stride = case(
        (row.total > most_per_run, (row.total + most_per_run - 1) // most_per_run), else_=1
    )
    chosen = or_(
        row.position % stride == 0,
        row.position == row.total - 1,
        row.checkpoint_id.in_(kept),
    )
    return (
        select(
            *(row.run_id, row.checkpoint_id, Checkpoint.name, row.epoch, Checkpoint.step),
            *(row.created_at, row.total, row.value),
        )
        .join(Checkpoint, Checkpoint.id == row.checkpoint_id)
        .where(chosen)
        .order_by(row.run_id, row.position)
    )
