"""From typed conditions to SQL expressions. Every value is a bound parameter, never SQL text.

A condition is about the row of `Checkpoint` in the enclosing query. A comparison with a metric,
param or tag that isn't there is false, and so is any with NaN; only IS NULL asks for absence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Text,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from tracker.catalog.filters import AllOf, AnyOf, Comparison, Condition, Field, Value
from tracker.catalog.tables import PREFIX_LENGTH, Checkpoint, Experiment, Metric, Param, Tag

Expression: TypeAlias = ColumnElement[Any]
Compare: TypeAlias = Callable[[Expression, tuple[Value, ...]], ColumnElement[bool]]

_KEYED: dict[str, type[Metric] | type[Param] | type[Tag]] = {
    "metric": Metric,
    "param": Param,
    "tag": Tag,
}


def _bound(value: Value) -> Expression:
    # Typed by the value, not by the column: an epoch compared with 3.5 must not become 4.
    if isinstance(value, str):
        return literal(value, Text())
    return literal(value, BigInteger() if isinstance(value, int) else Double())


def _like(column: Expression, values: tuple[Value, ...]) -> ColumnElement[bool]:
    # As in MLflow on SQLite, a backslash is a backslash: PostgreSQL would escape with it.
    pattern = str(values[0]).replace("\\", "\\\\")
    return column.like(_bound(pattern), escape="\\")


def _ilike(column: Expression, values: tuple[Value, ...]) -> ColumnElement[bool]:
    return _like(func.lower(column), tuple(_ascii_lower(str(value)) for value in values))


def _ascii_lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def _in(column: Expression, values: tuple[Value, ...]) -> ColumnElement[bool]:
    return column.in_([_bound(value) for value in values])


_COMPARATORS: dict[str, Compare] = {
    "=": lambda column, values: column == _bound(values[0]),
    "!=": lambda column, values: column != _bound(values[0]),
    "<": lambda column, values: column < _bound(values[0]),
    "<=": lambda column, values: column <= _bound(values[0]),
    ">": lambda column, values: column > _bound(values[0]),
    ">=": lambda column, values: column >= _bound(values[0]),
    "LIKE": _like,
    "NOT LIKE": lambda column, values: ~_like(column, values),
    "ILIKE": _ilike,
    "NOT ILIKE": lambda column, values: ~_ilike(column, values),
    "IN": _in,
    "NOT IN": lambda column, values: ~_in(column, values),
    "IS NULL": lambda column, _values: column.is_(None),
    "IS NOT NULL": lambda column, _values: column.is_not(None),
}


def condition_clause(condition: Condition) -> ColumnElement[bool]:
    """Return a condition as an SQL expression about a row of `Checkpoint`."""
    match condition:
        case AllOf(conditions):
            return and_(*map(condition_clause, conditions))
        case AnyOf(conditions):
            return or_(*map(condition_clause, conditions))
        case Comparison() if condition.field.kind == "attribute":
            compare = _COMPARATORS[condition.comparator]
            return compare(attribute_column(condition.field), condition.values)
        case Comparison():
            return _keyed_clause(condition)


def attribute_column(field: Field) -> Expression:
    """Return the expression of an attribute of a row of `Checkpoint`."""
    if field.key == "experiment_name":
        name = select(Experiment.name).where(Experiment.id == Checkpoint.experiment_id)
        return name.correlate(Checkpoint).scalar_subquery()
    column: Expression = Checkpoint.__table__.c[field.key]
    return column


def keyed_value(field: Field) -> Expression:
    """Return the value of a metric, param or tag of a row of `Checkpoint`; NULL if absent."""
    table = _keyed_table(field)
    value = select(table.value).where(
        table.checkpoint_id == Checkpoint.id, table.key == _bound(field.key)
    )
    return value.correlate(Checkpoint).scalar_subquery()


def _keyed_table(field: Field) -> Any:
    # An alias: the enclosing query may be about metrics, too.
    return aliased(_KEYED[field.kind])


def _keyed_clause(comparison: Comparison) -> ColumnElement[bool]:
    table = _keyed_table(comparison.field)
    has_key = table.key == _bound(comparison.field.key)
    present = exists().where(table.checkpoint_id == Checkpoint.id, has_key)
    if comparison.comparator == "IS NULL":
        return ~present
    if comparison.comparator == "IS NOT NULL":
        return present
    matches = _COMPARATORS[comparison.comparator](table.value, comparison.values)
    if comparison.field.kind != "metric" and comparison.comparator in ("=", "IN"):
        # Equal texts are found through the index over their prefixes.
        found = select(table.checkpoint_id).where(has_key, _same_prefix(table, comparison), matches)
        return Checkpoint.id.in_(found)
    return present.where(matches)


def _same_prefix(table: Any, comparison: Comparison) -> ColumnElement[bool]:
    prefixes = sorted({str(value)[:PREFIX_LENGTH] for value in comparison.values})
    return _in(table.value_prefix, tuple(prefixes))
