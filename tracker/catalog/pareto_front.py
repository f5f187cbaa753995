"""The checkpoints that no other is better than in every respect: the Pareto front of metrics.

The rows come from an index, sorted by the first metric and then by the others. A row can only be
dominated by one that came before it, so a row that none of the front so far dominates is on it for
good. With two metrics the last row of the front decides, and as soon as that has the best value of
the second metric nothing that is worse in the first can follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Engine, ScalarSelect, select
from sqlalchemy.orm import aliased

from tracker.catalog.ranking import best_value, by_value, earliest, ranked_conditions
from tracker.catalog.records import load_records
from tracker.catalog.scope import Scope
from tracker.catalog.tables import Metric
from tracker.catalog.transactions import reading
from tracker.types import CheckpointRecord, Mode

Point: TypeAlias = tuple[float, ...]
"""The values of a checkpoint, turned so that smaller is better."""


def pareto(engine: Engine, scope: Scope, modes: Mapping[str, Mode]) -> list[CheckpointRecord]:
    """Return the checkpoints that no other equals or beats in all metrics and beats in one.

    Checkpoints with equal values are all returned. One that lacks a metric, or has a NaN, is never
    returned and beats none.

    Args:
        engine: The catalog.
        scope: Which checkpoints; those outside beat none.
        modes: ``min`` or ``max`` by metric; two metrics or more.

    Returns:
        The checkpoints, the best in the first metric first; equal ones as in `best`.

    Example:
        >>> pareto(engine, Scope(("digits",)), {"val_loss": "min", "latency": "min"})
    """
    signs = [1 if mode == "min" else -1 for mode in modes.values()]
    first, *others = modes
    with reading(engine) as connection:
        columns = [_value_of(metric).label(f"value_{i}") for i, metric in enumerate(others)]
        orders = [
            column.asc() if modes[metric] == "min" else column.desc()
            for metric, column in zip(others, columns, strict=True)
        ]
        ranked = ranked_conditions(connection, scope, others[0])
        value = connection.execute(
            select(best_value(connection, scope, ranked, others[0], modes[others[0]]))
        ).scalar_one()
        second = math.nan if value is None else signs[1] * value
        query = (
            select(Metric.checkpoint_id, Metric.value, *columns)
            .where(*ranked_conditions(connection, scope, first))
            .order_by(by_value(modes[first]), *orders, *earliest())
        )
        rows = connection.execute(query, execution_options={"stream_results": True})
        points = (
            (row[0], tuple(s * value for s, value in zip(signs, row[1:], strict=True)))
            for row in rows
            if None not in row
        )
        ids = list(front(points, second))
        rows.close()
        return load_records(connection, ids)


def front(points: Iterable[tuple[str, Point]], second: float = -math.inf) -> Iterator[str]:
    """Return the names of the points that no other dominates, equal ones included.

    Args:
        points: Names and points of two or more values, sorted by the points; smaller is better.
        second: No second value is smaller; the closer it is, the fewer points are looked at.
    """
    found: list[Point] = []
    for name, point in points:
        if len(point) == 2 and found and found[-1][1] <= second and found[-1] != point:
            return
        # Of two values the second falls along the front, so that its last point decides.
        rivals = found[-1:] if len(point) == 2 else found
        if any(_dominates(rival, point) for rival in rivals):
            continue
        if not found or found[-1] != point:
            found.append(point)
        yield name


def _dominates(rival: Point, point: Point) -> bool:
    return rival != point and all(a <= b for a, b in zip(rival, point, strict=True))


def _value_of(metric: str) -> ScalarSelect[Any]:
    # A subquery, not a join, so that the rows keep coming from the index of the first metric.
    other = aliased(Metric)
    return (
        select(other.value)
        .where(other.checkpoint_id == Metric.checkpoint_id, other.key == metric)
        .correlate(Metric)
        .scalar_subquery()
    )
