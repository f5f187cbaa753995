"""What "the best" means: by the value, then the earlier epoch, the earlier time, the id.

A NaN is in no ranking. Every query that ranks by a metric takes its order from here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection

from tracker.catalog.scope import Scope, metric_conditions
from tracker.catalog.tables import Metric
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
