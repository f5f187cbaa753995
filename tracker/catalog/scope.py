"""Which checkpoints a question is about, and how SQL says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import InstrumentedAttribute

from tracker.catalog.conditions import condition_clause
from tracker.catalog.filters import parse_filter
from tracker.catalog.tables import Checkpoint, Experiment, Metric


@dataclass(frozen=True, slots=True)
class Scope:
    """Which checkpoints a question is about.

    Attributes:
        experiments: Names of experiments; None: all.
        run_id: One run; None: all.
        filter_string: MLflow's search syntax; blank: no condition.
    """

    experiments: tuple[str, ...] | None = None
    run_id: str | None = None
    filter_string: str = ""


def checkpoint_conditions(connection: Connection, scope: Scope) -> list[ColumnElement[bool]]:
    """Return a scope as conditions about a row of `Checkpoint`.

    Raises:
        FilterSyntaxError: The scope's filter does not parse.
    """
    return [*_placed(connection, scope, Checkpoint), *_filtered(scope)]


def metric_conditions(connection: Connection, scope: Scope) -> list[ColumnElement[bool]]:
    """Return a scope as conditions about a row of `Metric`, joined with `Checkpoint` if needed.

    Raises:
        FilterSyntaxError: The scope's filter does not parse.
    """
    filtered = _filtered(scope)
    joined = [Checkpoint.id == Metric.checkpoint_id] if filtered else []
    return [*_placed(connection, scope, Metric), *joined, *filtered]


def experiment_ids(connection: Connection, names: Sequence[str]) -> Sequence[str]:
    """Return the ids of the experiments with these names; unknown names have none."""
    query = select(Experiment.id).where(Experiment.name.in_(names))
    return connection.execute(query).scalars().all()


def _placed(
    connection: Connection, scope: Scope, table: type[Checkpoint] | type[Metric]
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.run_id is not None:
        conditions.append(table.run_id == scope.run_id)
    if scope.experiments is not None:
        ids = experiment_ids(connection, scope.experiments)
        conditions.append(_one_of(table.experiment_id, ids))
    return conditions


def _one_of(column: InstrumentedAttribute[Any], ids: Sequence[str]) -> ColumnElement[bool]:
    # With one experiment, the usual case, an equality lets the index give the order, too.
    return column == ids[0] if len(ids) == 1 else column.in_(ids)


def _filtered(scope: Scope) -> list[ColumnElement[bool]]:
    condition = parse_filter(scope.filter_string)
    return [] if condition is None else [condition_clause(condition)]
