"""From a database URI as MLflow writes it to a SQLAlchemy engine.

An engine for reading or writing never creates a SQLite file (``mode=rw``): a mistyped path must not
leave an empty database behind that looks like a catalog in which nothing was found.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tracker.errors import CatalogError
from tracker.settings import display_uri

FileMode = Literal["rw", "rwc"]
"""How a SQLite file is opened: it must exist, or it is created."""

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a write waits for another process's write to the same SQLite file."""

CONNECT_TIMEOUT_SECONDS = 10

_SUPPORTED = (
    "The catalog needs sqlite:///mlflow.db, sqlite:////absolute/path.db or "
    "postgresql://user:password@host/database; set TRACKER_CATALOG_URI if MLflow itself is "
    "elsewhere."
)
_NO_DRIVER = (
    "There is no PostgreSQL driver in this environment: pip install 'checkpoint-tracker[postgres]'."
)


def parse_uri(uri: str) -> URL:
    """Parse a catalog's URI; a SQLite file's path becomes absolute.

    Args:
        uri: A URI as MLflow takes it: ``sqlite:///…``, ``postgresql://…``.

    Raises:
        CatalogError: It is not a URI, or of a database that the catalog can't live in.
    """
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError) as error:
        raise CatalogError(f"{display_uri(uri)!r} is not a database URI. {_SUPPORTED}") from error
    if url.get_backend_name() == "postgresql":
        return url.set(drivername=_postgresql_driver(url.drivername))
    if url.get_backend_name() != "sqlite":
        raise CatalogError(f"The catalog can't live in {display_uri(uri)}. {_SUPPORTED}")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise CatalogError(
            f"{display_uri(uri)} names no file that several processes can share. {_SUPPORTED}"
        )
    return url.set(database=str(Path(url.database).absolute()))


def _postgresql_driver(drivername: str) -> str:
    if drivername != "postgresql":
        return drivername
    for module in ("psycopg", "psycopg2"):
        if importlib.util.find_spec(module) is not None:
            return f"postgresql+{module}"
    raise CatalogError(_NO_DRIVER)


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL of `parse_uri`, or None for a database server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL, mode: FileMode = "rw") -> Engine:
    """Make an engine for a URL of `parse_uri`; nothing is connected yet.

    Args:
        url: What `parse_uri` returned.
        mode: ``rwc`` to create a SQLite file that doesn't exist.

    Raises:
        CatalogError: The database's driver is not installed.
    """
    try:
        return _sqlite(url, mode) if sqlite_file(url) else _postgresql(url)
    except NoSuchModuleError as error:
        raise CatalogError(f"{display_uri(str(url))}: {error}. {_SUPPORTED}") from error
    except ImportError as error:
        raise CatalogError(f"{_NO_DRIVER} ({error})") from error


def _sqlite(url: URL, mode: FileMode) -> Engine:
    database = f"file:{quote(url.database or '')}"
    query = {**url.query, "mode": mode, "uri": "true"}
    engine = create_engine(
        url.set(database=database, query=query),
        poolclass=NullPool,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _prepare_sqlite_connection(connection: sqlite3.Connection, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, late and never as IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA case_sensitive_like = ON")


def _begin_sqlite_transaction(connection: Connection) -> None:
    # A writer takes the lock before it reads: two that read first and then both want to write
    # can only fail.
    writes = connection.get_execution_options().get("tracker_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL) -> Engine:
    arguments: dict[str, Any] = {}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    return create_engine(
        url,
        pool_pre_ping=True,
        # Writers wait for each other at an advisory lock and must then see what the other wrote.
        isolation_level="READ COMMITTED",
        connect_args=arguments,
    )
