"""Putting checkpoints into the catalog and taking them out.

A run that logs the same epoch again (a restart, a re-run cell) means the newer checkpoint. So of
one run, epoch, step and model class the catalog keeps one: the newest, whichever is put first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from tracker.catalog.records import load_records
from tracker.catalog.tables import PREFIX_LENGTH, Checkpoint, Experiment, Metric, Param, Tag
from tracker.catalog.transactions import writing
from tracker.types import CheckpointRecord

_SAME_AS_RECORD = (
    *("id", "run_id", "experiment_id", "name", "epoch", "step", "model_class", "model_text"),
    *("rebuild", "size", "created_at", "artifact_uri", "manifest_digest"),
)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A checkpoint that is none any more.

    Attributes:
        record: The checkpoint.
        by: The id of the newer one of the same run, epoch, step and model class.
    """

    record: CheckpointRecord
    by: str


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
    return [replaced.record for replaced in put_all(engine, [record])]


def put_all(engine: Engine, records: Sequence[CheckpointRecord]) -> list[Replaced]:
    """Put checkpoints into the catalog as `put` does, in one transaction.

    Args:
        engine: A catalog of `tracker.catalog.open_catalog`.
        records: The checkpoints, some thousands at most. What is stored as it is stays untouched.

    Raises:
        CatalogError: The database could not be reached or refused; nothing was changed.
        InvalidArgumentError: A record holds a value that the database can't.
    """
    by_id = {record.id: record for record in records}
    runs = {record.run_id for record in by_id.values()}
    with writing(engine, *(f"run {run_id}" for run_id in runs)) as connection:
        for experiment_id, name in {r.experiment_id: r.experiment for r in records}.items():
            put_experiment(connection, experiment_id, name)
        stored = {record.id: record for record in load_records(connection, list(by_id))}
        rivals = [record for record in _rivals(connection, records) if record.id not in by_id]
        replaced = _replaced([*rivals, *by_id.values()])
        lost = {each.record.id for each in replaced}
        new = [r for r in by_id.values() if r.id not in lost and stored.get(r.id) != r]
        delete_checkpoints(connection, lost | {record.id for record in new})
        _insert(connection, new)
    return replaced


def _replaced(claims: Sequence[CheckpointRecord]) -> list[Replaced]:
    """Return those that are not the newest of their place."""
    newest: dict[_Place, CheckpointRecord] = {}
    for claim in sorted(claims, key=lambda claim: (claim.created_at, claim.id)):
        newest[_place(claim)] = claim
    return [
        Replaced(claim, newest[_place(claim)].id)
        for claim in claims
        if newest[_place(claim)] is not claim
    ]


_Place: TypeAlias = tuple[str, int | None, int | None, str]


def _place(record: CheckpointRecord) -> _Place:
    """Return what only one checkpoint can have; one without epoch and step has its own place."""
    if record.epoch is None and record.step is None:
        return record.id, None, None, ""
    return record.run_id, record.epoch, record.step, record.model_class


def remove(engine: Engine, checkpoint_id: str) -> bool:
    """Take a checkpoint out of the catalog.

    Returns:
        Whether it was there.

    Raises:
        CatalogError: The database could not be reached or refused; nothing was changed.
    """
    with writing(engine, f"checkpoint {checkpoint_id}") as connection:
        return delete_checkpoints(connection, {checkpoint_id}) > 0


def put_experiment(connection: Connection, experiment_id: str, name: str) -> None:
    """Enter or rename an experiment within a transaction."""
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


def _rivals(connection: Connection, records: Sequence[CheckpointRecord]) -> list[CheckpointRecord]:
    """Return the stored checkpoints that have the place of one of the records."""
    places = {_place(record) for record in records}
    epochs = {record.epoch for record in records}
    of_epochs = Checkpoint.epoch.in_([epoch for epoch in epochs if epoch is not None])
    alike = select(
        Checkpoint.id, Checkpoint.run_id, Checkpoint.epoch, Checkpoint.step, Checkpoint.model_class
    ).where(
        Checkpoint.run_id.in_({record.run_id for record in records}),
        or_(of_epochs, Checkpoint.epoch.is_(None)) if None in epochs else of_epochs,
    )
    found = [row.id for row in connection.execute(alike) if tuple(row[1:]) in places]
    return load_records(connection, found)


def delete_checkpoints(connection: Connection, ids: Iterable[str]) -> int:
    """Delete checkpoints within a transaction, some thousands at most; return how many."""
    ids = list(ids)
    if not ids:
        return 0
    for table in (Metric, Param, Tag):
        connection.execute(delete(table).where(table.checkpoint_id.in_(ids)))
    return connection.execute(delete(Checkpoint).where(Checkpoint.id.in_(ids))).rowcount


def _insert(connection: Connection, records: Sequence[CheckpointRecord]) -> None:
    rows = {
        Checkpoint: [checkpoint_row(record) for record in records],
        Metric: [row for record in records for row in metric_rows(record)],
        Param: [row for record in records for row in _text_rows(record.id, record.params)],
        Tag: [row for record in records for row in _text_rows(record.id, record.tags)],
    }
    for table, of_table in rows.items():
        if of_table:
            connection.execute(insert(table), of_table)


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
