"""The names of metrics, params and tags in a catalog, at a look-up each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from tracker.catalog.scope import Scope, experiment_ids, visible_runs
from tracker.catalog.tables import Checkpoint, Metric, Param, Tag
from tracker.catalog.transactions import reading

_MOST_NAMES = 10_000


def metric_names(engine: Engine, scope: Scope) -> list[str]:
    """Return the names of the metrics of a scope, sorted; the scope's filter is ignored.

    It costs a look-up for each name, however many checkpoints have it. The first 10,000 of an
    experiment are returned.
    """
    with reading(engine) as connection:
        if scope.run_id is not None:
            if not visible_runs(connection, [scope.run_id], scope.visible):
                return []
            return _keys(connection, Metric, Metric.run_id == scope.run_id)
        ids = experiment_ids(connection, scope)
        if ids is None:
            return _keys(connection, Metric)
        of_experiments = (_keys(connection, Metric, Metric.experiment_id == id_) for id_ in ids)
        return sorted({name for names in of_experiments for name in names})


def text_names(
    engine: Engine, kind: Literal["param", "tag"], visible: frozenset[str] | None = None
) -> list[str]:
    """Return the names of params or tags, sorted, the first 10,000.

    Args:
        engine: The catalog.
        kind: Which of them.
        visible: Only those of checkpoints in experiments with these ids; None: of all. It costs a
            look-up for each name and each of its checkpoints until one is seen.
    """
    table = Param if kind == "param" else Tag
    with reading(engine) as connection:
        names = _keys(connection, table)
        ids = experiment_ids(connection, Scope(visible=visible))
        if ids is None:
            return names
        return [name for name in names if _is_seen(connection, table, name, ids)]


def _is_seen(connection: Connection, table: Any, name: str, ids: Sequence[str]) -> bool:
    query = (
        select(table.checkpoint_id)
        .join(Checkpoint, Checkpoint.id == table.checkpoint_id)
        .where(table.key == name, Checkpoint.experiment_id.in_(ids))
    )
    return bool(ids) and connection.execute(query.limit(1)).first() is not None


def _keys(connection: Connection, table: Any, *where: ColumnElement[bool]) -> list[str]:
    # From each key to the next in an index that begins with the conditions' column and the key.
    names = select(func.min(table.key).label("key")).where(*where).cte("names", recursive=True)
    following = select(func.min(table.key)).where(table.key > names.c.key, *where)
    names = names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.key.is_not(None))
    )
    query = select(names.c.key).where(names.c.key.is_not(None)).limit(_MOST_NAMES)
    return list(connection.execute(query).scalars())
