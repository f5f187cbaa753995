"""The checkpoint that a model is loaded from: the best, or that of an id, without SQLAlchemy.

To import it takes longer than to find the best of a million checkpoints and to map its weights, and
where a model is loaded that is often all that a process asks. So these two questions have a short
way to a SQLite file, where everything is as usual. Whatever is not (another database, another
schema, a file that is locked or damaged, an experiment with several ids, nothing found) is None
here and goes the way of `queries`, which waits, upgrades and knows every error. Tests hold both
ways to one answer.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracker.catalog.location import catalog_uri, is_mirror
from tracker.catalog.revisions import VERSION_TABLE, head_revision
from tracker.forks import kept_out
from tracker.types import CheckpointRecord, Mode

_ORDERS = {"min": "ASC", "max": "DESC"}
_ELSEWHERE = {"experiment", "metrics", "params", "tags"}
_COLUMNS = ", ".join(f"c.{f.name}" for f in fields(CheckpointRecord) if f.name not in _ELSEWHERE)


def best(
    tracking_uri: str,
    metric: str,
    mode: Mode,
    *,
    experiment: str | None = None,
    run_id: str | None = None,
) -> CheckpointRecord | None:
    """Return what `queries.best` returns, or None: then that has to be asked.

    Args:
        tracking_uri: The tracking store whose catalog is asked.
        metric: The metric's name.
        mode: ``min`` or ``max``.
        experiment: Only checkpoints of the experiment of this name.
        run_id: Only checkpoints of this run.
    """
    return _answer(
        tracking_uri, lambda connection: _best(connection, metric, mode, experiment, run_id)
    )


def by_id(tracking_uri: str, id_: str) -> CheckpointRecord | None:
    """Return the checkpoint of a whole id, or None: then `queries.by_id` has to be asked."""
    return _answer(tracking_uri, lambda connection: id_)


def _answer(
    tracking_uri: str, find: Callable[[sqlite3.Connection], str | None]
) -> CheckpointRecord | None:
    """Return the checkpoint whose id is found, if all is as usual."""
    file = _usual_file(tracking_uri)
    if file is None:
        return None
    try:
        with kept_out(), contextlib.closing(_connect(file)) as connection:
            connection.execute("BEGIN")  # all that follows sees one moment
            if _values(connection, f"SELECT version_num FROM {VERSION_TABLE}") != [head_revision()]:
                return None
            found = find(connection)
            return None if found is None else _record(connection, found)
    except (sqlite3.Error, UnicodeError):
        return None  # the other way meets the same, and says what it is


def _usual_file(tracking_uri: str) -> Path | None:
    uri = catalog_uri(tracking_uri)
    path = uri.removeprefix("sqlite:///")
    usual = path not in (uri, "", ":memory:") and "?" not in path and not path.startswith("file:")
    return Path(path).absolute() if usual and not is_mirror(tracking_uri) else None


def _connect(file: Path) -> sqlite3.Connection:
    # "rw": no file is made. No timeout: who finds it locked waits on the other way.
    uri = f"file:{quote(str(file))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _best(
    connection: sqlite3.Connection,
    metric: str,
    mode: Mode,
    experiment: str | None,
    run_id: str | None,
) -> str | None:
    """Return the id of the best; see `queries.top`, which asks the same two questions."""
    place: dict[str, str] = {} if run_id is None else {"run_id": run_id}
    if experiment is not None:
        ids = _values(connection, "SELECT id FROM tracker_experiments WHERE name = ?", experiment)
        if len(ids) != 1:
            return None
        place["experiment_id"] = ids[0]
    conditions = [*(f"{column} = ?" for column in place), "key = ?"]
    rows = f"FROM tracker_metrics WHERE {' AND '.join(conditions)} AND value"
    value = _values(
        connection,
        f"SELECT value {rows} IS NOT NULL ORDER BY value {_ORDERS[mode]} LIMIT 1",
        *(*place.values(), metric),
    )
    found = _values(
        connection,
        f"SELECT checkpoint_id {rows} = ? "
        "ORDER BY epoch ASC NULLS LAST, created_at ASC, checkpoint_id ASC LIMIT 1",
        *(*place.values(), metric, value[0] if value else None),
    )
    return found[0] if found else None


def _record(connection: sqlite3.Connection, id_: str) -> CheckpointRecord | None:
    row = connection.execute(
        f"SELECT {_COLUMNS}, e.name AS experiment FROM tracker_checkpoints AS c "
        "JOIN tracker_experiments AS e ON e.id = c.experiment_id WHERE c.id = ?",
        (id_,),
    ).fetchone()
    if row is None:
        return None
    metrics = _by_key(connection, "tracker_metrics", id_)
    return CheckpointRecord(
        **dict(row),
        metrics={key: math.nan if value is None else value for key, value in metrics.items()},
        params=_by_key(connection, "tracker_params", id_),
        tags=_by_key(connection, "tracker_tags", id_),
    )


def _by_key(connection: sqlite3.Connection, table: str, id_: str) -> dict[str, Any]:
    query = f"SELECT key, value FROM {table} WHERE checkpoint_id = ? ORDER BY key"
    return {row["key"]: row["value"] for row in connection.execute(query, (id_,))}


def _values(connection: sqlite3.Connection, query: str, *parameters: Any) -> list[Any]:
    return [row[0] for row in connection.execute(query, parameters)]
