"""From rows to records: a page of checkpoints in a fixed number of queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from tracker.catalog.tables import Checkpoint, Experiment, Metric, Param, Tag
from tracker.types import CheckpointRecord

_IDS_PER_QUERY = 5_000
"""Databases bound the parameters of one statement (SQLite: 32,766)."""


def load_records(connection: Connection, ids: Sequence[str]) -> list[CheckpointRecord]:
    """Return the checkpoints with these ids, in their order; four queries per 5,000.

    Args:
        connection: A connection of a transaction that sees one moment.
        ids: Ids of checkpoints; those not in the catalog are left out.
    """
    return [
        record
        for start in range(0, len(ids), _IDS_PER_QUERY)
        for record in _load(connection, ids[start : start + _IDS_PER_QUERY])
    ]


def _load(connection: Connection, ids: Sequence[str]) -> list[CheckpointRecord]:
    query = (
        select(Checkpoint.__table__, Experiment.name.label("experiment"))
        .join(Experiment, Experiment.id == Checkpoint.experiment_id)
        .where(Checkpoint.id.in_(ids))
    )
    rows = {row.id: row for row in connection.execute(query)}
    metrics, params, tags = (_values(connection, table, ids) for table in (Metric, Param, Tag))
    return [
        _record(rows[id_], metrics.get(id_, {}), params.get(id_, {}), tags.get(id_, {}))
        for id_ in ids
        if id_ in rows
    ]


def _values(
    connection: Connection, table: type[Metric] | type[Param] | type[Tag], ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    query = (
        select(table.checkpoint_id, table.key, table.value)
        .where(table.checkpoint_id.in_(ids))
        .order_by(table.checkpoint_id, table.key)
    )
    values: dict[str, dict[str, Any]] = {}
    for checkpoint_id, key, value in connection.execute(query):
        values.setdefault(checkpoint_id, {})[key] = math.nan if value is None else value
    return values


def _record(
    row: Row[Any], metrics: dict[str, float], params: dict[str, str], tags: dict[str, str]
) -> CheckpointRecord:
    return CheckpointRecord(**row._mapping, metrics=metrics, params=params, tags=tags)
