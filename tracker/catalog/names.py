"""The names of metrics, params and tags in a catalog, and which of them somebody may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from tracker.catalog.scope import Scope, experiment_ids
from tracker.catalog.tables import Metric, Param, Tag
from tracker.catalog.transactions import reading

_MOST_NAMES = 10_000
_LONGEST_SHOWN = 120
_LONGEST_COMPARED = 250
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def metric_names(engine: Engine, scope: Scope) -> list[str]:
    """Return the names of the metrics of a scope, sorted; the scope's filter is ignored.

    It costs a look-up for each name, however many checkpoints have it. The first 10,000 of an
    experiment are returned.
    """
    with reading(engine) as connection:
        if scope.run_id is not None:
            return _keys(connection, Metric, Metric.run_id == scope.run_id)
        if scope.experiments is None:
            return _keys(connection, Metric)
        of_experiments = (
            _keys(connection, Metric, Metric.experiment_id == id_)
            for id_ in experiment_ids(connection, scope.experiments)
        )
        return sorted({name for names in of_experiments for name in names})


def text_names(engine: Engine, kind: Literal["param", "tag"]) -> list[str]:
    """Return the names of all params or tags, sorted, the first 10,000."""
    with reading(engine) as connection:
        return _keys(connection, Param if kind == "param" else Tag)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a sentence that suggests up to three near names and ends with a space, or nothing.

    Example:
        >>> did_you_mean("Val_los", ["val_loss", "accuracy"])
        "Did you mean 'val_loss'? "
    """
    if len(name) > _LONGEST_COMPARED:
        return ""
    lowered = {each.lower(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.lower(), lowered, n=3)
    if not near:
        return ""
    return f"Did you mean {' or '.join(quoted(lowered[each]) for each in near)}? "


def quoted(text: str) -> str:
    """Return a text as it is written in a message: quoted, and shortened if it is long."""
    if len(text) <= _LONGEST_SHOWN:
        return repr(text)
    return f"{text[:_LONGEST_SHOWN]!r}… ({len(text):,} characters)"


def unstorable(text: str) -> re.Match[str] | None:
    """Return where in a text the first character is that a database can't hold."""
    return _UNSTORABLE.search(text)


def _keys(connection: Connection, table: Any, *where: ColumnElement[bool]) -> list[str]:
    # From each key to the next in an index that begins with the conditions' column and the key.
    names = select(func.min(table.key).label("key")).where(*where).cte("names", recursive=True)
    following = select(func.min(table.key)).where(table.key > names.c.key, *where)
    names = names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.key.is_not(None))
    )
    query = select(names.c.key).where(names.c.key.is_not(None)).limit(_MOST_NAMES)
    return list(connection.execute(query).scalars())
