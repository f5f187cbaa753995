"""Opening, creating and upgrading the catalog.

`open_catalog` is called for every save and every query, so what it learnt about a database is kept
for the process: engines are cached by URL and process id (a forked child must not share its
parent's connections).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from tracker.catalog import revisions
from tracker.catalog.damage import MAKE_ANEW, Layout, damage, drop_all, is_newer, look
from tracker.catalog.engines import make_engine, parse_uri, sqlite_file
from tracker.catalog.transactions import is_schema_mismatch, reading, reason, writing
from tracker.errors import (
    CatalogDamagedError,
    CatalogError,
    CatalogVersionError,
    NotFoundError,
)
from tracker.settings import display_uri

if TYPE_CHECKING:
    from alembic.config import Config

_open_engines: dict[tuple[str, int, int], Engine] = {}

# Alembic keeps the migration that runs in module globals.
_migrating = threading.Lock()


def open_catalog(uri: str) -> Engine:
    """Open an existing catalog for reading and writing; cheap when called again.

    A SQLite file with an older schema is upgraded first.

    Args:
        uri: The database, as MLflow writes it: ``sqlite:///mlflow.db``, ``postgresql://…``.

    Raises:
        NotFoundError: There is no such file, or the database holds no catalog.
        CatalogDamagedError: Its tables are not those of its schema.
        CatalogVersionError: A newer tracker made it, or it is older and on a database server.
        CatalogError: The database can't be reached or used.
    """
    url = parse_uri(uri)
    key = _cache_key(url, uri)
    if key not in _open_engines:
        engine = make_engine(url)
        _check_revision(engine, uri)
        _open_engines[key] = engine
    return _open_engines[key]


def create_or_upgrade(uri: str) -> str:
    """Create the catalog's tables, or bring them up to date; safe while others do the same.

    MLflow's tables in the same database are left alone.

    Args:
        uri: The database; a SQLite file that doesn't exist is created.

    Returns:
        The revision of the schema, which is `revisions.head_revision`.

    Raises:
        CatalogDamagedError: Its tables are not those of its schema.
        CatalogVersionError: A newer tracker made the catalog.
        CatalogError: The database can't be reached or used.
    """
    url = parse_uri(uri)
    file = sqlite_file(url)
    if file is not None:
        _make_directory(file)
    engine = make_engine(url, "rwc")
    try:
        # Looked at without the lock first: usually there is nothing to do.
        with reading(engine) as connection:
            found = _whole(look(connection), uri)
        if found != revisions.head_revision():
            with _migrating, writing(engine, "migration") as connection:
                _migrate(connection, uri)
    finally:
        engine.dispose()
    return revisions.head_revision()


def make_anew(uri: str) -> None:
    """Drop the catalog's tables and make them again, empty; MLflow's are left alone.

    Raises:
        CatalogVersionError: A newer tracker made them.
        CatalogError: The database can't be reached or used; nothing was changed.
    """
    engine = make_engine(parse_uri(uri))
    try:
        with _migrating, writing(engine, "migration") as connection:
            for revision in look(connection).stamps:
                if is_newer(revision):
                    _refuse_newer(revision, uri)
            drop_all(connection)
            _migrate(connection, uri)
    finally:
        engine.dispose()


def current_revision(engine: Engine) -> str | None:
    """Return the revision of a catalog's schema, or None if the database holds no catalog.

    Raises:
        CatalogError: The database can't be reached or used.
    """
    with reading(engine) as connection:
        return look(connection).revision


def _cache_key(url: URL, uri: str) -> tuple[str, int, int]:
    file = sqlite_file(url)
    # The inode: a file that was deleted and made anew is another catalog.
    inode = 0 if file is None else _inode(file, uri)
    return url.render_as_string(hide_password=False), inode, os.getpid()


def _inode(file: Path, uri: str) -> int:
    try:
        return file.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        raise _nothing_logged(uri, f"There is no file {file}") from None
    except OSError as error:
        raise CatalogError(
            f"{display_uri(uri)} can't be opened: {error}. Check the path and your rights."
        ) from error


def _make_directory(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(
            f"The directory of {file} can't be made: {error}. Check the path and your rights."
        ) from error


def _nothing_logged(uri: str, what: str) -> NotFoundError:
    return NotFoundError(
        f"{what}: no checkpoint was logged to {display_uri(uri)} yet. Check the working directory "
        f"({Path.cwd()}) and MLFLOW_TRACKING_URI, or log a checkpoint first; if MLflow holds "
        "checkpoints already, run `tracker db upgrade` and `tracker reindex`."
    )


def _check_revision(engine: Engine, uri: str) -> None:
    with reading(engine) as connection:
        found = _whole(look(connection), uri)
    if found is None:
        raise _nothing_logged(uri, "The database holds no catalog")
    if found == revisions.head_revision():
        return
    _refuse_newer(found, uri)
    if engine.dialect.name != "sqlite":
        raise CatalogVersionError(
            f"The catalog in {display_uri(uri)} has schema {found}, this tracker needs "
            f"{revisions.head_revision()}: run `tracker db upgrade`, after a backup."
        )
    create_or_upgrade(uri)


def _refuse_newer(found: str, uri: str) -> None:
    if found not in revisions.known_revisions():
        raise CatalogVersionError(
            f"The catalog in {display_uri(uri)} has schema {found}, made by a newer tracker; this "
            f"one knows it up to {revisions.head_revision()}: pip install --upgrade "
            "checkpoint-tracker."
        )


def _whole(layout: Layout, uri: str) -> str | None:
    """Return the revision of a catalog that is as it should be, or None if there is none."""
    wrong = damage(layout)
    if wrong:
        raise CatalogDamagedError(
            f"The catalog in {display_uri(uri)} is damaged: {wrong}. A backup restored in part, or "
            f"tables changed by hand, may have left it so. No checkpoint is lost: {MAKE_ANEW}."
        )
    return layout.revision


def _migrate(connection: Connection, uri: str) -> None:
    found = _whole(look(connection), uri)
    if found == revisions.head_revision():
        return
    if found is not None:
        _refuse_newer(found, uri)
    from alembic import command
    from alembic.util import CommandError

    config = migration_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CatalogError(
            f"The catalog in {display_uri(uri)} could not be upgraded from {found} to "
            f"{revisions.head_revision()}: {error}. Nothing was changed."
        ) from error
    except DBAPIError as error:
        if not is_schema_mismatch(error):
            raise
        raise CatalogDamagedError(
            f"The catalog in {display_uri(uri)} could not be upgraded from {found} to "
            f"{revisions.head_revision()}: its tables are not those of schema {found} "
            f"({reason(error)}). Nothing was changed, and no checkpoint is lost: {MAKE_ANEW}."
        ) from error


def migration_config() -> Config:
    """Return Alembic's configuration, made in code: users need no ``alembic.ini``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(revisions.migrations()).replace("%", "%%"))
    return config
