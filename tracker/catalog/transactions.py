"""The boundary to the database: transactions, and its errors as tracker's.

No exception of SQLAlchemy or of a driver leaves the catalog other than as ``__cause__``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, DBAPIError, TimeoutError

from tracker.catalog.damage import MAKE_ANEW
from tracker.catalog.engines import BUSY_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS
from tracker.errors import CatalogDamagedError, CatalogError, InvalidArgumentError
from tracker.forks import kept_out

_SIGNS = (
    (
        "is locked",
        f"Another process kept it locked for {BUSY_TIMEOUT_SECONDS:.0f} seconds; try again, and "
        "for many writers use PostgreSQL.",
    ),
    ("not a database", "The file is something else, or damaged: check the path."),
    ("malformed", "The file is damaged: restore it, or rebuild the catalog from MLflow."),
    ("unable to open", "Check that the path exists and that you may write to its directory."),
    ("readonly", "Check that you may write to the file and its directory."),
    ("read-only", "Check that you may write to this database."),
    ("does not exist", "Check the database's name, and run `tracker db upgrade`."),
    ("must be owner", "Only who made these tables may change them: connect as that user."),
    ("authentication failed", "Check the user and the password in the URI."),
    ("permission denied", "Ask for the right to use these tables."),
)

_MISMATCH = re.compile(
    "no such (table|column)|has no column named|duplicate column|already exists"
    r"|(relation|column) \S+ (of relation \S+ )?does not exist"
)
"""What databases say if a statement and the tables do not fit together."""


@contextmanager
def database_errors(shown: str) -> Iterator[None]:
    """Turn the errors of a database into tracker's.

    Args:
        shown: The database for the message, without its password.

    Raises:
        CatalogDamagedError: Its tables are not those that the code knows.
        CatalogError: The database could not be reached or refused.
        InvalidArgumentError: A value that no database column can hold.
    """
    try:
        yield
    except (DataError, UnicodeError, OverflowError) as error:
        raise InvalidArgumentError(
            f"A value can't be kept in the catalog {shown}: {reason(error)}. Text must be without "
            "NUL characters, whole numbers must fit into 64 bits."
        ) from error
    except (DBAPIError, TimeoutError) as error:
        if is_schema_mismatch(error):
            raise CatalogDamagedError(
                f"The catalog {shown} is damaged: {reason(error)}. No checkpoint is lost: "
                f"{MAKE_ANEW}."
            ) from error
        raise CatalogError(
            f"The catalog {shown} failed: {reason(error)}. {_advice(error)}"
        ) from error


def is_schema_mismatch(error: Exception) -> bool:
    """Return whether a database says that a table or column is missing, or there already."""
    return isinstance(error, DBAPIError) and bool(_MISMATCH.search(reason(error)))


def reason(error: Exception) -> str:
    """Return what a database says, in one line without its full stop."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return " ".join(str(cause).split()).rstrip(".")


def _advice(error: Exception) -> str:
    told = reason(error).lower()
    for sign, advice in _SIGNS:
        if sign in told:
            return advice
    return (
        f"Check that it runs and can be reached from here within {CONNECT_TIMEOUT_SECONDS} seconds."
    )


@contextmanager
def reading(engine: Engine, *, one_moment: bool = True) -> Iterator[Connection]:
    """Yield a connection for queries.

    Args:
        engine: The catalog.
        one_moment: Whether all queries see the catalog as it was at one moment. Where there is one
            query, or its parts need not fit together, PostgreSQL is spared a transaction, which
            takes as long as two queries more.

    Raises:
        CatalogError: The database could not be reached or refused.
    """
    with kept_out(), database_errors(shown(engine)), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            level = "REPEATABLE READ" if one_moment else "AUTOCOMMIT"
            connection = connection.execution_options(isolation_level=level)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine, *locks: str) -> Iterator[Connection]:
    """Yield a connection in a transaction that is committed at the end, or rolled back.

    SQLite has one writer at a time. On PostgreSQL the writers that name the same lock wait for
    each other; it is released with the transaction.

    Raises:
        CatalogError: The database could not be reached or refused; nothing was changed.
    """
    with kept_out(), database_errors(shown(engine)), engine.connect() as connection:
        connection = connection.execution_options(tracker_writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                # Sorted: two that want the same locks in another order would wait for ever.
                for key in sorted(map(_lock_key, locks)):
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield connection


def _lock_key(lock: str) -> int:
    digest = hashlib.blake2b(f"tracker {lock}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def shown(engine: Engine) -> str:
    """Return an engine's database for messages, without its password."""
    if engine.dialect.name == "sqlite":
        return f"sqlite:///{engine.url.database or ''}".replace("sqlite:///file:", "sqlite:///")
    return engine.url.render_as_string(hide_password=True)
