"""Putting checkpoints into the catalog and taking them out.

A run that logs the same epoch again (a restart, a re-run cell) means the newer checkpoint. So of
one run, epoch, step and model class the catalog keeps one: the newest, whichever is put first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from tracker.catalog.records import load_records
from tracker.catalog.tables import PREFIX_LENGTH, Checkpoint, Experiment, Metric, Param, Tag
from tracker.catalog.transactions import writing
from tracker.types import CheckpointRecord

_SAME_AS_RECORD = (
    *("id", "run_id", "experiment_id", "name", "epoch", "step", "model_class", "model_text"),
    *("rebuild", "size", "created_at", "artifact_uri", "manifest_digest"),
)


def put(engine: Engine, record: CheckpointRecord) -> list[CheckpointRecord]:
    """Put a checkpoint into the catalog; putting it again changes nothing.

    Args:
        engine: A catalog of `tracker.catalog.open_catalog`.
        record: The checkpoint. One with the same id is replaced.

    Returns:
        The checkpoints that are not in the catalog any more, or not at all, because a newer one
        (by ``created_at``, then id) is of the same run, epoch, step and model class. It holds
        ``record`` itself if a newer one was there. Never any if epoch and step are both None.

    Raises:
        CatalogError: The database could not be reached or refused; nothing was changed.
        InvalidArgumentError: The record holds a value that the database can't.
    """
    with writing(engine, f"run {record.run_id}") as connection:
        _put_experiment(connection, record.experiment_id, record.experiment)
        claims = [*_rivals(connection, record), record]
        newest = max(claims, key=lambda claim: (claim.created_at, claim.id))
        replaced = [claim for claim in claims if claim is not newest]
        _delete(connection, {record.id, *(claim.id for claim in replaced)})
        if newest is record:
            _insert(connection, record)
    return replaced


def remove(engine: Engine, checkpoint_id: str) -> bool:
    """Take a checkpoint out of the catalog.

    Returns:
        Whether it was there.

    Raises:
        CatalogError: The database could not be reached or refused; nothing was changed.
    """
    with writing(engine, f"checkpoint {checkpoint_id}") as connection:
        return _delete(connection, {checkpoint_id}) > 0


def _put_experiment(connection: Connection, experiment_id: str, name: str) -> None:
    known = connection.execute(
        select(Experiment.name).where(Experiment.id == experiment_id)
    ).scalar_one_or_none()
    if known is None:
        _insert_experiment(connection, experiment_id, name)
    elif known != name:
        connection.execute(
            update(Experiment).where(Experiment.id == experiment_id).values(name=name)
        )


def _insert_experiment(connection: Connection, experiment_id: str, name: str) -> None:
    # Another run of the experiment may insert it at this moment.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as upsert
    else:
        from sqlalchemy.dialects.sqlite import insert as upsert  # type: ignore[assignment]
    statement = upsert(Experiment).values(id=experiment_id, name=name)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[Experiment.id], set_={"name": name})
    )


def _rivals(connection: Connection, record: CheckpointRecord) -> list[CheckpointRecord]:
    if record.epoch is None and record.step is None:
        return []
    same = select(Checkpoint.id).where(
        Checkpoint.run_id == record.run_id,
        _same(Checkpoint.epoch, record.epoch),
        _same(Checkpoint.step, record.step),
        Checkpoint.model_class == record.model_class,
        Checkpoint.id != record.id,
    )
    return load_records(connection, connection.execute(same).scalars().all())


def _same(column: Any, value: int | None) -> Any:
    return column.is_(None) if value is None else column == value


def _delete(connection: Connection, ids: Iterable[str]) -> int:
    for table in (Metric, Param, Tag):
        connection.execute(delete(table).where(table.checkpoint_id.in_(ids)))
    return connection.execute(delete(Checkpoint).where(Checkpoint.id.in_(ids))).rowcount


def _insert(connection: Connection, record: CheckpointRecord) -> None:
    connection.execute(insert(Checkpoint), checkpoint_row(record))
    if record.metrics:
        connection.execute(insert(Metric), metric_rows(record))
    for table, texts in ((Param, record.params), (Tag, record.tags)):
        if texts:
            connection.execute(insert(table), _text_rows(record.id, texts))


def checkpoint_row(record: CheckpointRecord) -> dict[str, object]:
    """Return the row of `Checkpoint` of a record."""
    return {name: getattr(record, name) for name in _SAME_AS_RECORD}


def metric_rows(record: CheckpointRecord) -> list[dict[str, object]]:
    """Return the rows of `Metric` of a record: a NaN is NULL."""
    return [
        {
            "checkpoint_id": record.id,
            "key": key,
            "value": None if math.isnan(value) else float(value),
            "experiment_id": record.experiment_id,
            "run_id": record.run_id,
            "epoch": record.epoch,
            "created_at": record.created_at,
        }
        for key, value in record.metrics.items()
    ]


def _text_rows(checkpoint_id: str, texts: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "checkpoint_id": checkpoint_id,
            "key": key,
            "value": value,
            "value_prefix": value[:PREFIX_LENGTH],
        }
        for key, value in texts.items()
    ]
