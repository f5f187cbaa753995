"""Keeps a catalog in step with MLflow where much has changed: what is gone, renamed, hidden.

Every function takes the engine of `tracker.catalog.open_catalog` and raises CatalogError if the
database can't be reached or refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, Engine, delete, insert, select

from tracker.catalog.tables import Checkpoint, Experiment, State
from tracker.catalog.transactions import reading, writing
from tracker.catalog.writes import delete_checkpoints, put_experiment

_AT_ONCE = 1000


def experiments(engine: Engine) -> dict[str, str]:
    """Return the names of the experiments that the catalog knows, by id."""
    with reading(engine) as connection:
        found = connection.execute(select(Experiment.id, Experiment.name))
        return {row.id: row.name for row in found}


def put_experiments(engine: Engine, names: Mapping[str, str]) -> None:
    """Enter or rename experiments.

    Args:
        engine: The catalog.
        names: Their names by id.
    """
    if names:
        with writing(engine, "experiments") as connection:
            for id_, name in names.items():
                put_experiment(connection, id_, name)


def remove_experiments(engine: Engine, ids: Collection[str]) -> None:
    """Take experiments with all their checkpoints out of the catalog."""
    if ids:
        with writing(engine, "experiments") as connection:
            of_them = select(Checkpoint.id).where(Checkpoint.experiment_id.in_(ids))
            _delete_all(connection, connection.execute(of_them).scalars().all())
            connection.execute(delete(Experiment).where(Experiment.id.in_(ids)))


def remove_runs(engine: Engine, run_ids: Collection[str]) -> None:
    """Take all checkpoints of runs out of the catalog."""
    for ids in _in_parts(run_ids):
        with writing(engine, *(f"run {run_id}" for run_id in ids)) as connection:
            of_them = select(Checkpoint.id).where(Checkpoint.run_id.in_(ids))
            _delete_all(connection, connection.execute(of_them).scalars().all())


def remove_all(engine: Engine, checkpoint_ids: Collection[str]) -> None:
    """Take checkpoints out of the catalog."""
    for ids in _in_parts(checkpoint_ids):
        with writing(engine) as connection:
            delete_checkpoints(connection, ids)


def remove_of_run(engine: Engine, run_id: str, checkpoint_ids: Collection[str]) -> None:
    """Take checkpoints of one run out of the catalog; ids of other runs are left alone."""
    for ids in _in_parts(checkpoint_ids):
        query = select(Checkpoint.id).where(Checkpoint.id.in_(ids), Checkpoint.run_id == run_id)
        with reading(engine) as connection:
            known = connection.execute(query).scalars().all()
        if known:
            with writing(engine, f"run {run_id}") as connection:
                delete_checkpoints(connection, known)


def all_ids(engine: Engine) -> set[str]:
    """Return the ids of all checkpoints."""
    with reading(engine) as connection:
        return set(connection.execute(select(Checkpoint.id)).scalars())


def state(engine: Engine, key: str) -> str | None:
    """Return what was remembered under a name, or None."""
    with reading(engine) as connection:
        query = select(State.value).where(State.key == key)
        return connection.execute(query).scalar_one_or_none()


def set_state(engine: Engine, key: str, value: str) -> None:
    """Remember a text under a name."""
    with writing(engine, f"state {key}") as connection:
        connection.execute(delete(State).where(State.key == key))
        connection.execute(insert(State), [{"key": key, "value": value}])


def _delete_all(connection: Connection, ids: Collection[str]) -> None:
    for part in _in_parts(ids):
        delete_checkpoints(connection, part)


def _in_parts(ids: Collection[str]) -> Iterator[list[str]]:
    # Databases bound the parameters of one statement.
    ordered = sorted(ids)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
