"""MLflow's search syntax: from a filter string to typed conditions.

The grammar is in ``filter.lark``. What a condition means in SQL is in `tracker.catalog.conditions`;
here nothing is known of the database, and values stay values all the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tracker.catalog.wording import did_you_mean, quoted, unstorable
from tracker.errors import FilterSyntaxError

if TYPE_CHECKING:
    from lark import Lark, Token

Kind: TypeAlias = Literal["metric", "param", "tag", "attribute"]
Value: TypeAlias = "str | int | float"
Node: TypeAlias = Any
"""A tree of lark; its children are trees and tokens, as the grammar says."""

NUMBER_ATTRIBUTES = ("epoch", "step", "created_at", "size")
TEXT_ATTRIBUTES = (
    *("id", "name", "run_id", "experiment_id", "experiment_name", "model_class", "rebuild"),
)
ATTRIBUTES = NUMBER_ATTRIBUTES + TEXT_ATTRIBUTES

MAX_COMPARISONS = 100
"""More in one filter are refused here; SQLite would refuse some more with an obscure error."""

MAX_VALUES = 10_000
"""In all the lists of a filter; databases bound the parameters of a statement (SQLite: 32,766)."""

MAX_DEPTH = 20
"""Conditions within conditions; parentheses around the same one do not count."""

MAX_LENGTH = 500_000
"""Characters of a filter; it takes about a second to read so many."""

_SHOWN_BEFORE, _SHOWN_AFTER = 70, 50
_MAX_WHOLE = 2**63 - 1

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr"), "attribute"),
}
_FOR_BOTH = frozenset({"=", "!=", "IS NULL", "IS NOT NULL"})
_FOR_NUMBERS = _FOR_BOTH | {"<", "<=", ">", ">=", "IN", "NOT IN"}
_FOR_TEXT = _FOR_BOTH | {"LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "IN", "NOT IN"}
_EXAMPLE = "metrics.val_loss < 0.3 AND params.depth = '7' AND epoch >= 3"
_ORDER_EXAMPLE = "metrics.val_loss ASC"


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared or sorted by: a metric, param or tag by its key, or an attribute."""

    kind: Kind
    key: str

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers; else they are text."""
        return self.kind == "metric" or (self.kind == "attribute" and self.key in NUMBER_ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; ``values`` holds one value, several for IN, none for IS NULL."""

    field: Field
    comparator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Conditions joined by AND."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Conditions joined by OR."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = "Comparison | AllOf | AnyOf"


@dataclass(frozen=True, slots=True)
class Order:
    """A field to sort by."""

    field: Field
    descending: bool


def parse_filter(text: str) -> Condition | None:
    """Parse a filter string.

    Args:
        text: For example ``metrics.val_loss < 0.3 AND params.depth = '7'``; blank: no condition.

    Returns:
        The condition, or None if there is none.

    Raises:
        FilterSyntaxError: It does not follow the syntax; the message shows where.

    Example:
        >>> parse_filter("epoch >= 3")
        Comparison(field=Field(kind='attribute', key='epoch'), comparator='>=', values=(3,))
    """
    _refuse_unreadable(text, _EXAMPLE)
    if not text.strip():
        return None
    tree = _parse(text, "filter", _EXAMPLE)
    for what, most in (("comparison", MAX_COMPARISONS), ("literal", MAX_VALUES)):
        if sum(1 for _ in tree.find_data(what)) > most:
            what = "value" if what == "literal" else what
            raise _error(text, None, f"It has more than {most:,} {what}s.", _EXAMPLE)
    return _condition(tree.children[0], text, 1)


def fields_asked_for(text: str) -> list[Field]:
    """Return the fields of a filter that must be there for it to match, without repetitions.

    Raises:
        FilterSyntaxError: It does not follow the syntax; the message shows where.
    """
    condition = parse_filter(text)
    return [] if condition is None else list(dict.fromkeys(_fields(condition)))


def _fields(condition: Condition) -> Iterator[Field]:
    if not isinstance(condition, Comparison):
        for each in condition.conditions:
            yield from _fields(each)
    elif condition.comparator != "IS NULL":
        yield condition.field


def parse_order(text: str) -> Order:
    """Parse one element of ``order_by``.

    Args:
        text: For example ``metrics.val_loss ASC`` or ``attributes.epoch DESC``; ascending unless
            it says otherwise.

    Raises:
        FilterSyntaxError: It does not follow the syntax; the message shows where.
    """
    _refuse_unreadable(text, _ORDER_EXAMPLE)
    field, *direction = _parse(text, "order", _ORDER_EXAMPLE).children
    return Order(
        _field(field, text, _ORDER_EXAMPLE),
        descending=bool(direction) and str(direction[0]).upper() == "DESC",
    )


@cache
def _parser() -> Lark:
    from lark import Lark

    grammar = files("tracker.catalog").joinpath("filter.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start=["filter", "order"], propagate_positions=True)


def _parse(text: str, start: str, example: str) -> Node:
    from lark.exceptions import UnexpectedCharacters, UnexpectedInput

    try:
        return _parser().parse(text, start=start)
    except UnexpectedCharacters as error:
        what = "This was not expected here."
        raise _error(text, error.pos_in_stream, what, example) from None
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        if token is None or token.type == "$END":
            raise _error(text, len(text), "It ends too early.", example) from None
        raise _error(text, token.start_pos, "This was not expected here.", example) from None


def _condition(tree: Node, text: str, depth: int) -> Condition:
    if tree.data == "comparison":
        return _comparison(tree, text)
    if depth > MAX_DEPTH:
        what = f"Conditions are nested more than {MAX_DEPTH} deep here."
        raise _error(text, tree.meta.start_pos, what, _EXAMPLE)
    conditions = tuple(_condition(child, text, depth + 1) for child in tree.children)
    return AllOf(conditions) if tree.data == "conjunction" else AnyOf(conditions)


def _comparison(tree: Node, text: str) -> Comparison:
    field_token, operator, *literals = tree.children
    words = operator.children if hasattr(operator, "children") else [operator]
    comparator = " ".join(str(word).upper() for word in words)
    field = _field(field_token, text, _EXAMPLE)
    allowed = _FOR_NUMBERS if field.is_number else _FOR_TEXT
    if comparator not in allowed:
        kind = "a number" if field.is_number else "text"
        choice = ", ".join(sorted(allowed))
        raise _error(
            text,
            words[0].start_pos,
            f"{_cut(field_token)} is {kind}; it can be: {choice}.",
            _EXAMPLE,
        )
    values = tuple(_value(literal.children[0], field, text) for literal in literals)
    return Comparison(field, comparator, values)


def _field(token: Token, text: str, example: str) -> Field:
    prefix, dot, key = str(token).partition(".")
    if not dot:
        prefix, key = "attribute", prefix
    kind = _KINDS.get(prefix)
    if kind is None:
        near = did_you_mean(prefix, list(_KINDS))
        message = f"{near}{quoted(prefix)} is none of metrics, params, tags, attributes."
        raise _error(text, token.start_pos, message, example)
    key = _unquote(key)
    if kind == "attribute" and key not in ATTRIBUTES:
        message = (
            f"There is no attribute {quoted(key)}. {did_you_mean(key, ATTRIBUTES)}There are "
            f"{', '.join(ATTRIBUTES)}. A metric is written metrics.{_cut(key)}, a param "
            f"params.{_cut(key)}."
        )
        raise _error(text, token.start_pos, message, example)
    return Field(kind, key)


def _value(token: Token, field: Field, text: str) -> Value:
    if (token.type == "NUMBER") != field.is_number:
        what = (
            f"{_cut(field.key)} is a number: write it without quotes."
            if field.is_number
            else f"{_cut(field.key)} is text: write '{_cut(token)}'."
        )
        raise _error(text, token.start_pos, what, _EXAMPLE)
    if token.type == "STRING":
        return _unquote(str(token))
    if field.kind == "attribute" and re.fullmatch(r"[-+]?[0-9]{1,19}", token):
        whole = int(token)
        if abs(whole) <= _MAX_WHOLE:
            return whole  # exactly; what is larger than any in a database is compared as a float
    return float(token)


def _unquote(text: str) -> str:
    quote = text[:1]
    if quote not in ("'", '"', "`"):
        return text
    return text[1:-1].replace(quote * 2, quote)


def _refuse_unreadable(text: str, example: str) -> None:
    if len(text) > MAX_LENGTH:
        what = f"It has {len(text):,} characters; up to {MAX_LENGTH:,} are read."
        raise _error(text, None, what, example)
    found = unstorable(text)
    if found is not None:
        message = f"The character {found[0]!r} can't be in a database."
        raise _error(text, found.start(), message, example)


def _error(text: str, position: int | None, what: str, example: str) -> FilterSyntaxError:
    start = max(0, (position or 0) - _SHOWN_BEFORE)
    end = (position or 0) + _SHOWN_AFTER
    before, after = "…" if start else "", "…" if end < len(text) else ""
    shown = before + "".join(map(_printable, text[start:end])) + after
    marker = "" if position is None else f"\n  {' ' * (position - start + len(before))}^"
    where = f" (at character {position + 1:,})" if position is not None and start else ""
    return FilterSyntaxError(
        f"This can't be searched for{where}:\n  {shown}{marker}\n{what}\nFor example: {example}"
    )


def _printable(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_BEFORE else f"{text[:_SHOWN_BEFORE]}…"
