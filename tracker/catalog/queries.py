"""The questions that the catalog answers.

Every function takes the engine of `tracker.catalog.open_catalog` and raises CatalogError if the
database can't be reached, and FilterSyntaxError if the scope's filter does not parse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, func, select

from tracker.catalog.conditions import attribute_column, keyed_value
from tracker.catalog.filters import Order, parse_order
from tracker.catalog.ranking import best_value, by_value, earliest, ranked_conditions
from tracker.catalog.records import load_records, load_selected
from tracker.catalog.scope import Scope, checkpoint_conditions, metric_conditions
from tracker.catalog.tables import Checkpoint, Experiment, Metric
from tracker.catalog.transactions import reading
from tracker.errors import InvalidArgumentError
from tracker.types import CheckpointRecord, Mode

_MAX_BY_PREFIX = 6
_LAST_CHARACTER = "\U0010ffff"
_NEWEST_FIRST = (Checkpoint.created_at.desc(), Checkpoint.id)


def search(
    engine: Engine,
    scope: Scope,
    *,
    order_by: Sequence[str] = (),
    max_results: int | None = 100,
    offset: int = 0,
) -> list[CheckpointRecord]:
    """Return the checkpoints of a scope, the newest first unless ordered otherwise.

    Args:
        engine: The catalog.
        scope: Which checkpoints.
        order_by: As in MLflow, ``metrics.val_loss ASC`` or ``attributes.epoch DESC``; what lacks
            the value, or is NaN, comes last either way. Ties: the newest first, then by id.
        max_results: The most to return; None: all.
        offset: How many to skip.

    Raises:
        InvalidArgumentError: A negative number, or an ``order_by`` that does not parse.

    Example:
        >>> search(engine, Scope(("digits",)), order_by=["metrics.val_loss ASC"], max_results=10)
    """
    if offset < 0 or (max_results is not None and max_results < 0):
        raise InvalidArgumentError(
            f"max_results={max_results} and offset={offset}: neither may be negative."
        )
    parsed = [parse_order(element) for element in order_by]
    orders = [_order_clause(order) for order in parsed]
    with reading(engine, one_moment=scope.visible is not None) as connection:
        if max_results and len(parsed) == 1 and parsed[0].field.kind == "metric":
            by_metric = _by_metric(connection, scope, parsed[0], max_results, offset)
            page = load_selected(connection, by_metric)
            if len(page) == max_results:
                return page
        query = _ids_of(connection, scope).order_by(*orders, *_NEWEST_FIRST)
        return load_selected(connection, query.limit(max_results).offset(offset or None))


def best(engine: Engine, scope: Scope, metric: str, mode: Mode) -> CheckpointRecord | None:
    """Return the checkpoint with the best value of a metric, or None if none has a finite one.

    A NaN never wins. Ties go to the earlier epoch, then to the earlier ``created_at``, then by id.

    Args:
        engine: The catalog.
        scope: Which checkpoints.
        metric: The metric's name.
        mode: ``min`` or ``max``.
    """
    found = top(engine, scope, metric, mode, 1)
    return found[0] if found else None


def top(
    engine: Engine, scope: Scope, metric: str, mode: Mode, limit: int
) -> list[CheckpointRecord]:
    """Return the checkpoints with the best values of a metric, the best first.

    NaN and ties are as in `best`.

    Args:
        engine: The catalog.
        scope: Which checkpoints.
        metric: The metric's name.
        mode: ``min`` or ``max``.
        limit: How many at most, 1 or more.
    """
    with reading(engine, one_moment=limit > 1 or scope.visible is not None) as connection:
        conditions = ranked_conditions(connection, scope, metric)
        ranked = select(Metric.checkpoint_id).where(*conditions)
        by = by_value(mode)
        # The last value first, at one end of an index: as many checkpoints as there are may have
        # it, and sorting these by epoch to take a few would be the whole cost.
        if limit == 1:
            value = best_value(connection, scope, conditions, metric, mode)
            equal = ranked.where(Metric.value == value).order_by(*earliest())
            return load_selected(connection, equal.limit(1))
        last = connection.execute(
            ranked.with_only_columns(Metric.value).order_by(by).limit(1).offset(limit - 1)
        ).scalar_one_or_none()
        if last is None:
            return load_selected(connection, ranked.order_by(by, *earliest()))
        better = Metric.value < last if mode == "min" else Metric.value > last
        ids = _ids(connection, ranked.where(better).order_by(by, *earliest()))
        equal = ranked.where(Metric.value == last).order_by(*earliest())
        ids += _ids(connection, equal.limit(limit - len(ids)))
        return load_records(connection, ids)


def at(
    engine: Engine,
    scope: Scope,
    *,
    epoch: int | None = None,
    step: int | None = None,
    limit: int | None = None,
) -> list[CheckpointRecord]:
    """Return the checkpoints of an epoch, of a step or of both, the newest first.

    Args:
        engine: The catalog.
        scope: Which checkpoints.
        epoch: Their epoch.
        step: Their step.
        limit: How many at most; None: all.

    Raises:
        InvalidArgumentError: Neither was given.
    """
    if epoch is None and step is None:
        raise InvalidArgumentError("Give an epoch or a step to look for.")
    with reading(engine, one_moment=scope.visible is not None) as connection:
        query = _ids_of(connection, scope)
        if epoch is not None:
            query = query.where(Checkpoint.epoch == epoch)
        if step is not None:
            query = query.where(Checkpoint.step == step)
        return load_selected(connection, query.order_by(*_NEWEST_FIRST).limit(limit))


def latest(engine: Engine, scope: Scope) -> CheckpointRecord | None:
    """Return the newest checkpoint: by ``created_at``, then epoch, step and id."""
    newest = (
        Checkpoint.created_at.desc(),
        Checkpoint.epoch.desc().nulls_last(),
        Checkpoint.step.desc().nulls_last(),
        Checkpoint.id.desc(),
    )
    with reading(engine, one_moment=scope.visible is not None) as connection:
        found = load_selected(connection, _ids_of(connection, scope).order_by(*newest).limit(1))
    return found[0] if found else None


def by_id(
    engine: Engine, id_or_prefix: str, visible: frozenset[str] | None = None
) -> list[CheckpointRecord]:
    """Return the checkpoint with an id, or up to six whose id starts with it.

    Args:
        engine: The catalog.
        id_or_prefix: With or without MLflow's ``m-``. Blank finds none.
        visible: See `Scope`; no other checkpoint is found.
    """
    if not id_or_prefix.strip():
        return []
    prefixes = (id_or_prefix, f"m-{id_or_prefix}")
    with reading(engine) as connection:
        seen = checkpoint_conditions(connection, Scope(visible=visible))
        # A whole id is looked up by itself: the beginning of one may be looked for in all
        # checkpoints that may be seen.
        for id_ in prefixes if seen else ():
            whole = _ids(connection, select(Checkpoint.id).where(Checkpoint.id == id_, *seen))
            if whole:
                return load_records(connection, whole)
        # One by one: of both at once a database may look through all ids.
        ids = [
            id_
            for prefix in prefixes
            for id_ in _ids(connection, _starting_with(prefix).where(*seen))
        ]
        exact = [prefix for prefix in prefixes if prefix in ids]
        return load_records(connection, exact[:1] or sorted({*ids})[:_MAX_BY_PREFIX])


def experiment_names(engine: Engine, visible: frozenset[str] | None = None) -> list[str]:
    """Return the names of the experiments that have checkpoints, sorted.

    Args:
        engine: The catalog.
        visible: See `Scope`.
    """
    has_checkpoints = exists().where(Checkpoint.experiment_id == Experiment.id)
    query = select(Experiment.id, Experiment.name).where(has_checkpoints)
    with reading(engine) as connection:
        found = connection.execute(query)
        return sorted({row.name for row in found if visible is None or row.id in visible})


def run_ids(engine: Engine, scope: Scope, limit: int) -> list[str]:
    """Return up to ``limit`` runs of a scope, those with the newest checkpoints first."""
    with reading(engine) as connection:
        query = (
            select(Checkpoint.run_id)
            .where(*checkpoint_conditions(connection, scope))
            .group_by(Checkpoint.run_id)
            .order_by(func.max(Checkpoint.created_at).desc(), Checkpoint.run_id)
        )
        return list(connection.execute(query.limit(limit)).scalars())


def metric_counts(
    engine: Engine, scope: Scope, metric: str | None = None
) -> dict[str, tuple[int, int]]:
    """Return by metric how many checkpoints of a scope have it, and in how many it isn't NaN.

    Args:
        engine: The catalog.
        scope: Which checkpoints; all of them are looked at.
        metric: Only this one.
    """
    with reading(engine) as connection:
        query = (
            select(Metric.key, func.count(), func.count(Metric.value))
            .where(*metric_conditions(connection, scope))
            .group_by(Metric.key)
            .order_by(Metric.key)
        )
        if metric is not None:
            query = query.where(Metric.key == metric)
        return {key: (total, numbers) for key, total, numbers in connection.execute(query)}


def epochs(engine: Engine, scope: Scope) -> list[int]:
    """Return the epochs of which a scope has checkpoints, ascending."""
    with reading(engine) as connection:
        query = (
            select(Checkpoint.epoch)
            .where(Checkpoint.epoch.is_not(None), *checkpoint_conditions(connection, scope))
            .distinct()
            .order_by(Checkpoint.epoch)
        )
        return [epoch for epoch in connection.execute(query).scalars() if epoch is not None]


def count(engine: Engine, scope: Scope) -> int:
    """Return how many checkpoints a scope has."""
    with reading(engine) as connection:
        query = select(func.count(Checkpoint.id))
        conditions = checkpoint_conditions(connection, scope)
        return connection.execute(query.where(*conditions)).scalar_one()


def _ids_of(connection: Connection, scope: Scope) -> Select[Any]:
    return select(Checkpoint.id).where(*checkpoint_conditions(connection, scope))


def _ids(connection: Connection, query: Select[Any]) -> list[str]:
    return list(connection.execute(query).scalars())


def _starting_with(prefix: str) -> Select[Any]:
    # A range, not LIKE: it uses the index, and nothing in the prefix is a wildcard.
    begins = and_(Checkpoint.id >= prefix, Checkpoint.id <= prefix + _LAST_CHARACTER)
    return select(Checkpoint.id).where(begins).order_by(Checkpoint.id).limit(_MAX_BY_PREFIX)


def _by_metric(
    connection: Connection, scope: Scope, order: Order, limit: int, offset: int
) -> Select[Any]:
    """Return the page of a search by one metric, if it is full: what lacks a value comes last."""
    # From the metrics' index, which ends where the page does.
    query = select(Metric.checkpoint_id).where(
        *ranked_conditions(connection, scope, order.field.key)
    )
    by = Metric.value.desc() if order.descending else Metric.value.asc()
    newest_first = (Metric.created_at.desc(), Metric.checkpoint_id)
    return query.order_by(by, *newest_first).limit(limit).offset(offset or None)


def _order_clause(order: Order) -> ColumnElement[Any]:
    is_attribute = order.field.kind == "attribute"
    value = attribute_column(order.field) if is_attribute else keyed_value(order.field)
    return (value.desc() if order.descending else value.asc()).nulls_last()
