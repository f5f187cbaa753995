"""From rows to records, with as few statements as a database allows.

PostgreSQL is a network away: it gets one statement, which also finds the checkpoints, and returns
each as JSON. Whatever it knows of its tables, it can only look each up by its id. SQLite has no
network, and its JSON keeps 15 digits of a number: it gets two statements after the ids are found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    Connection,
    FromClause,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.sql.expression import CompoundSelect

from tracker.catalog.tables import Checkpoint, Experiment, Metric, Param, Table, Tag
from tracker.types import CheckpointRecord

_IDS_PER_QUERY = 5_000
"""Databases bound the parameters of one statement (SQLite: 32,766, and each id is three)."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_CHECKPOINTS = Table.metadata.tables[Checkpoint.__tablename__]
_VALUES: dict[str, type[Metric] | type[Param] | type[Tag]] = {
    "metrics": Metric,
    "params": Param,
    "tags": Tag,
}


def load_records(connection: Connection, ids: Sequence[str]) -> list[CheckpointRecord]:
    """Return the checkpoints with these ids, in their order; a statement or two per 5,000.

    Args:
        connection: A connection of a transaction that sees one moment.
        ids: Ids of checkpoints; those not in the catalog are left out.
    """
    load = _from_postgresql if connection.dialect.name == "postgresql" else _from_sqlite
    return [
        record
        for start in range(0, len(ids), _IDS_PER_QUERY)
        for record in load(connection, ids[start : start + _IDS_PER_QUERY])
    ]


def load_selected(connection: Connection, ids: Select[Any]) -> list[CheckpointRecord]:
    """Return the checkpoints whose ids a query selects, in its order.

    On PostgreSQL it is one statement, so it sees one moment without a transaction.
    """
    if connection.dialect.name != "postgresql":
        return load_records(connection, connection.execute(ids).scalars().all())
    # Rows of a subquery that is ordered come in its order, as nothing is joined.
    return list(_from_json(connection, _as_json(ids.subquery("found")), {}))


def _from_postgresql(connection: Connection, ids: Sequence[str]) -> list[CheckpointRecord]:
    return list(_from_json(connection, _of_ids_as_json(), {"ids": list(ids)}))


@cache
def _of_ids_as_json() -> Select[Any]:
    from sqlalchemy.dialects.postgresql import ARRAY

    ids = func.unnest(bindparam("ids", type_=ARRAY(Text)))
    return _as_json(ids.table_valued("id", name="found").render_derived())


def _as_json(found: FromClause) -> Select[Any]:
    """Return a query of the checkpoint of each id, and its metrics, params and tags."""
    (id_,) = found.c
    checkpoint = (
        select(func.row_to_json(_CHECKPOINTS.table_valued(), type_=JSON))
        .where(Checkpoint.id == id_)
        .correlate(found)
        .scalar_subquery()
    )
    experiment = (
        select(Experiment.name)
        .join(Checkpoint, Checkpoint.experiment_id == Experiment.id)
        .where(Checkpoint.id == id_)
        .correlate(found)
        .scalar_subquery()
    )
    values = (
        select(func.json_object_agg(table.key, table.value, type_=JSON))
        .where(table.checkpoint_id == id_)
        .correlate(found)
        .scalar_subquery()
        for table in _VALUES.values()
    )
    return select(checkpoint, experiment, *values).select_from(found)


def _from_json(
    connection: Connection, query: Select[Any], parameters: Mapping[str, Any]
) -> Iterator[CheckpointRecord]:
    for row, experiment, metrics, params, tags in connection.execute(query, parameters):
        if row is not None and experiment is not None:
            # JSON has no infinities: they are texts in it.
            numbers = {k: None if v is None else float(v) for k, v in (metrics or {}).items()}
            yield _record({**row, "experiment": experiment}, numbers, params or {}, tags or {})


def _from_sqlite(connection: Connection, ids: Sequence[str]) -> list[CheckpointRecord]:
    rows = {row.id: row._mapping for row in connection.execute(_rows(), {"ids": ids})}
    values: dict[str, dict[str, dict[str, Any]]] = {
        id_: {name: {} for name in _VALUES} for id_ in rows
    }
    for name, checkpoint_id, key, value in connection.execute(_values(), {"ids": ids}):
        values[checkpoint_id][name][key] = value
    return [_record(rows[id_], **values[id_]) for id_ in ids if id_ in rows]  # type: ignore[arg-type]


@cache
def _rows() -> Select[Any]:
    return (
        select(Checkpoint.__table__, Experiment.name.label("experiment"))
        .join(Experiment, Experiment.id == Checkpoint.experiment_id)
        .where(Checkpoint.id.in_(_IDS))
    )


@cache
def _values() -> CompoundSelect[Any]:
    # Numbers and texts in one column, which SQLite does not mind.
    return union_all(
        *(
            select(literal_column(f"'{name}'"), table.checkpoint_id, table.key, table.value).where(
                table.checkpoint_id.in_(_IDS)
            )
            for name, table in _VALUES.items()
        )
    )


def _record(
    columns: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> CheckpointRecord:
    numbers = {key: math.nan if value is None else value for key, value in metrics.items()}
    return CheckpointRecord(
        **columns,
        metrics=dict(sorted(numbers.items())),
        params=dict(sorted(params.items())),
        tags=dict(sorted(tags.items())),
    )
