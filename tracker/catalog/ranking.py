"""What "the best" means: by the value, then the earlier epoch, the earlier time, the id.

A NaN is in no ranking. Every query that ranks by a metric takes its order from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, select

from tracker.catalog.scope import Scope, experiment_ids, metric_conditions
from tracker.catalog.tables import Experiment, Metric
from tracker.errors import InvalidArgumentError
from tracker.types import Mode


def ranked_conditions(
    connection: Connection, scope: Scope, metric: str
) -> list[ColumnElement[bool]]:
    """Return the conditions for the rows of `Metric` that take part in a ranking.

    Raises:
        FilterSyntaxError: The scope's filter does not parse.
    """
    conditions = metric_conditions(connection, scope)
    return [*conditions, Metric.key == metric, Metric.value.is_not(None)]


def best_value(
    connection: Connection,
    scope: Scope,
    ranked: Sequence[ColumnElement[bool]],
    metric: str,
    mode: Mode,
) -> ScalarSelect[float | None]:
    """Return the best value of a metric, NULL if there is none: one end of an index.

    Of several experiments it is the best of the best of each, so each is one look-up.

    Args:
        connection: A connection to the catalog.
        scope: Which checkpoints.
        ranked: What `ranked_conditions` returned for them.
        metric: The metric's name.
        mode: ``min`` or ``max``.
    """
    values = select(Metric.value).order_by(by_value(mode)).limit(1)
    if scope.visible is None and len(scope.experiments or ()) < 2:
        return values.where(*ranked).correlate(None).scalar_subquery()
    anywhere = Scope(None, scope.run_id, scope.filter_string)
    of_each = values.where(
        Metric.experiment_id == Experiment.id, *ranked_conditions(connection, anywhere, metric)
    )
    best = (func.min if mode == "min" else func.max)(
        of_each.correlate(Experiment).scalar_subquery()
    )
    several = select(best).select_from(Experiment)
    ids = experiment_ids(connection, scope)
    if ids is not None:
        several = several.where(Experiment.id.in_(ids))
    return several.correlate(None).scalar_subquery()


def by_value(mode: Mode, table: Any = Metric) -> ColumnElement[Any]:
    """Return the order of values, the best first.

    Raises:
        InvalidArgumentError: The mode is neither ``min`` nor ``max``.
    """
    if mode not in ("min", "max"):
        raise InvalidArgumentError(f"mode={mode!r}: it must be 'min' or 'max'.")
    order: ColumnElement[Any] = table.value.asc() if mode == "min" else table.value.desc()
    return order


def earliest(table: Any = Metric) -> tuple[ColumnElement[Any], ...]:
    """Return the order among equal values."""
    return table.epoch.asc().nulls_last(), table.created_at.asc(), table.checkpoint_id.asc()
