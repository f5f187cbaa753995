"""The names of metrics, params and tags in a catalog, at a look-up each."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from tracker.catalog.scope import Scope, experiment_ids
from tracker.catalog.tables import Metric, Param, Tag
from tracker.catalog.transactions import reading

_MOST_NAMES = 10_000


def metric_names(engine: Engine, scope: Scope) -> list[str]:
    """Return the names of the metrics of a scope, sorted; the scope's filter is ignored.

    It costs a look-up for each name, however many checkpoints have it. The first 10,000 of an
    experiment are returned.
    """
    with reading(engine) as connection:
        if scope.run_id is not None:
            return _keys(connection, Metric, Metric.run_id == scope.run_id)
        if scope.experiments is None:
            return _keys(connection, Metric)
        of_experiments = (
            _keys(connection, Metric, Metric.experiment_id == id_)
            for id_ in experiment_ids(connection, scope.experiments)
        )
        return sorted({name for names in of_experiments for name in names})


def text_names(engine: Engine, kind: Literal["param", "tag"]) -> list[str]:
    """Return the names of all params or tags, sorted, the first 10,000."""
    with reading(engine) as connection:
        return _keys(connection, Param if kind == "param" else Tag)


def _keys(connection: Connection, table: Any, *where: ColumnElement[bool]) -> list[str]:
    # From each key to the next in an index that begins with the conditions' column and the key.
    names = select(func.min(table.key).label("key")).where(*where).cte("names", recursive=True)
    following = select(func.min(table.key)).where(table.key > names.c.key, *where)
    names = names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.key.is_not(None))
    )
    query = select(names.c.key).where(names.c.key.is_not(None)).limit(_MOST_NAMES)
    return list(connection.execute(query).scalars())
