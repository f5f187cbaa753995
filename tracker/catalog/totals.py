"""How much there is in the catalog, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from tracker.catalog.scope import Scope, checkpoint_conditions
from tracker.catalog.tables import Checkpoint
from tracker.catalog.transactions import reading


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much there is.

    Attributes:
        experiments: Experiments that have checkpoints.
        runs: Runs that have checkpoints.
        checkpoints: Checkpoints.
        bytes: Bytes of their own files; what several share counts once.
        latest: When the newest was logged, in milliseconds since 1970-01-01 UTC; None: never.
    """

    experiments: int
    runs: int
    checkpoints: int
    bytes: int
    latest: int | None


def statistics(engine: Engine, scope: Scope) -> Statistics:
    """Return how much there is in a scope. Every checkpoint is looked at."""
    with reading(engine) as connection:
        query = select(
            func.count(Checkpoint.experiment_id.distinct()),
            func.count(Checkpoint.run_id.distinct()),
            func.count(Checkpoint.id),
            func.coalesce(func.sum(Checkpoint.size), 0),
            func.max(Checkpoint.created_at),
        ).where(*checkpoint_conditions(connection, scope))
        experiments, runs, checkpoints, size, latest = connection.execute(query).one()
        return Statistics(experiments, runs, checkpoints, int(size), latest)
