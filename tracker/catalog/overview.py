"""What there is in the catalog, counted: the experiments with their checkpoints and runs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from tracker.catalog.scope import Scope, checkpoint_conditions
from tracker.catalog.tables import Checkpoint, Experiment
from tracker.catalog.transactions import reading


@dataclass(frozen=True, slots=True)
class ExperimentSummary:
    """An experiment that has checkpoints.

    Attributes:
        id: MLflow's id.
        name: Its name.
        checkpoints: How many it has.
        runs: In how many runs they are.
        latest: When the newest was logged: milliseconds since 1970-01-01 UTC.
    """

    id: str
    name: str
    checkpoints: int
    runs: int
    latest: int


def experiment_summaries(engine: Engine, scope: Scope) -> list[ExperimentSummary]:
    """Return the experiments of a scope that have checkpoints, the most recently used first.

    Every checkpoint is counted, in one pass over an index.
    """
    with reading(engine) as connection:
        counted = (
            select(
                Checkpoint.experiment_id.label("id"),
                func.count().label("checkpoints"),
                func.count(Checkpoint.run_id.distinct()).label("runs"),
                func.max(Checkpoint.created_at).label("latest"),
            )
            .where(*checkpoint_conditions(connection, scope))
            .group_by(Checkpoint.experiment_id)
            .subquery()
        )
        query = (
            select(
                Experiment.id,
                Experiment.name,
                counted.c.checkpoints,
                counted.c.runs,
                counted.c.latest,
            )
            .join(counted, counted.c.id == Experiment.id)
            .order_by(counted.c.latest.desc(), Experiment.name)
        )
        return [ExperimentSummary(**row._mapping) for row in connection.execute(query)]


def count_runs(engine: Engine, scope: Scope) -> int:
    """Return in how many runs the checkpoints of a scope are."""
    with reading(engine) as connection:
        conditions = checkpoint_conditions(connection, scope)
        query = select(func.count(Checkpoint.run_id.distinct())).where(*conditions)
        return connection.execute(query).scalar_one()
