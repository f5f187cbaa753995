"""Which checkpoints a question is about, and how SQL says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, false, select
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
        visible: The ids of the experiments whose checkpoints may be seen at all, by whoever asks;
            None: all. What is outside is answered as if it did not exist.
    """

    experiments: tuple[str, ...] | None = None
    run_id: str | None = None
    filter_string: str = ""
    visible: frozenset[str] | None = None

    def without_filter(self) -> Scope:
        """Return the same place, with no condition on its checkpoints."""
        return replace(self, filter_string="")

    def everywhere(self) -> Scope:
        """Return all that may be seen, whatever the place and the filter."""
        return Scope(visible=self.visible)


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


def experiment_ids(connection: Connection, scope: Scope) -> Sequence[str] | None:
    """Return the ids of a scope's experiments, or None: of all there are.

    Unknown names have none, and neither have those that may not be seen. "All" is so for as long as
    the connection sees one moment: else an experiment could appear that may not be seen.
    """
    if scope.experiments is None and scope.visible is None:
        return None
    query = select(Experiment.id)
    if scope.experiments is not None:
        query = query.where(Experiment.name.in_(scope.experiments))
    ids = connection.execute(query).scalars().all()
    if scope.visible is None:
        return ids
    seen = [id_ for id_ in ids if id_ in scope.visible]
    # Who may see everything is answered from the indexes over everything.
    return None if scope.experiments is None and len(seen) == len(ids) else seen


def visible_runs(
    connection: Connection, run_ids: Sequence[str], visible: frozenset[str] | None
) -> Sequence[str]:
    """Return which of some runs may be seen, some thousands at most; in no order."""
    ids = experiment_ids(connection, Scope(visible=visible))
    if ids is None:
        return run_ids
    query = select(Checkpoint.run_id).where(
        Checkpoint.run_id.in_(run_ids), _one_of(Checkpoint.experiment_id, ids)
    )
    return connection.execute(query.distinct()).scalars().all()


def _placed(
    connection: Connection, scope: Scope, table: type[Checkpoint] | type[Metric]
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.run_id is not None:
        conditions.append(table.run_id == scope.run_id)
    ids = experiment_ids(connection, scope)
    if ids is not None:
        conditions.append(_one_of(table.experiment_id, ids))
    return conditions


def _one_of(column: InstrumentedAttribute[Any], ids: Sequence[str]) -> ColumnElement[bool]:
    # With one experiment, the usual case, an equality lets the index give the order, too. With
    # none, a database that is told so looks at nothing; an empty list it would try on every row.
    if not ids:
        return false()
    return column == ids[0] if len(ids) == 1 else column.in_(ids)


def _filtered(scope: Scope) -> list[ColumnElement[bool]]:
    condition = parse_filter(scope.filter_string)
    return [] if condition is None else [condition_clause(condition)]
