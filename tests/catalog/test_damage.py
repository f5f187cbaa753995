"""Tables that do not fit their schema: said at once, nothing changed, made anew when asked."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from tracker.catalog import Scope, create_or_upgrade, open_catalog, put, revisions, search
from tracker.catalog.database import make_anew
from tracker.catalog.engines import make_engine, parse_uri
from tracker.catalog.revisions import VERSION_TABLE
from tracker.catalog.tables import Table
from tracker.errors import CatalogDamagedError, CatalogVersionError

from .examples import record

TABLES = sorted(Table.metadata.tables)
VERSION = f"UPDATE {VERSION_TABLE} SET version_num ="

DAMAGES = {
    "tables without a version table": ([f"DROP TABLE {VERSION_TABLE}"], "no revision"),
    "tables without a version row": ([f"DELETE FROM {VERSION_TABLE}"], "no revision"),
    "a version row without tables": (
        [f"DROP TABLE {table}" for table in TABLES],
        "has none of its tables",
    ),
    "two version rows": ([f"INSERT INTO {VERSION_TABLE} VALUES ('0001')"], "several schemas"),
    "a version that never was one": ([f"{VERSION} 'abc'"], "'abc'"),
    "a version that is older than the tables": ([f"{VERSION} '0001'"], "could not be upgraded"),
    "a table that is missing": (["DROP TABLE tracker_tags"], "tracker_tags is missing"),
    "a column that is missing": (
        ["ALTER TABLE tracker_checkpoints DROP COLUMN rebuild"],
        "lacks column rebuild",
    ),
    "a column that nobody knows": (
        ["ALTER TABLE tracker_tags ADD COLUMN surprise TEXT"],
        "unknown column surprise",
    ),
}

KILLED_MIGRATION = """
import os, signal
from alembic import op
revision, down_revision = "9999", {head!r}
def upgrade():
    op.execute("CREATE TABLE tracker_later (id INTEGER)")
    op.execute("DROP TABLE tracker_tags")
    os.kill(os.getpid(), signal.SIGKILL)
"""

NEWER_TRACKER = """
import sys
from pathlib import Path
from tracker.catalog import create_or_upgrade, revisions
revisions.migrations = lambda: Path(sys.argv[2])
revisions.known_revisions = revisions.known_revisions.__wrapped__
revisions.head_revision = revisions.head_revision.__wrapped__
create_or_upgrade(sys.argv[1])
"""


def contents(engine: Engine) -> dict[str, list[object]]:
    with engine.connect() as connection:
        return {
            table: list(connection.execute(text(f"SELECT * FROM {table}")))
            for table in inspect(engine).get_table_names()
        }


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, empty_database: str) -> tuple[str, str]:
    """The URI of a damaged catalog beside somebody's table, and what is to be told about it."""
    statements, told = DAMAGES[request.param]
    create_or_upgrade(empty_database)
    engine = make_engine(parse_uri(empty_database))
    put(engine, record(1))
    with engine.begin() as connection:
        for statement in (*statements, "CREATE TABLE tags (theirs TEXT)"):
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO tags VALUES ('kept')"))
    engine.dispose()
    return empty_database, told


def test_it_is_told_with_the_way_out_and_nothing_is_changed(damaged: tuple[str, str]) -> None:
    uri, told = damaged
    before = contents(make_engine(parse_uri(uri)))
    # An older schema on a server is first of all one that has to be upgraded.
    for use in (create_or_upgrade,) if "upgraded" in told else (create_or_upgrade, open_catalog):
        with pytest.raises(CatalogDamagedError, match="tracker reindex --anew") as caught:
            use(uri)
        assert told in str(caught.value)
    assert contents(make_engine(parse_uri(uri))) == before


def test_it_can_be_made_anew_and_the_tables_of_others_stay(damaged: tuple[str, str]) -> None:
    uri, _ = damaged
    make_anew(uri)
    engine = open_catalog(uri)
    assert search(engine, Scope()) == []
    put(engine, record(1))
    assert search(engine, Scope()) == [record(1)]
    assert contents(engine)["tags"] == [("kept",)]


def test_what_a_newer_tracker_made_is_not_dropped(empty_database: str) -> None:
    create_or_upgrade(empty_database)
    engine = open_catalog(empty_database)
    put(engine, record(1))
    with engine.begin() as connection:
        connection.execute(text(f"{VERSION} '9999'"))
    with pytest.raises(CatalogVersionError, match="newer"):
        make_anew(empty_database)
    assert search(engine, Scope()) == [record(1)]


def test_a_migration_that_is_killed_midway_leaves_the_catalog_as_it_was(
    empty_database: str, tmp_path: Path
) -> None:
    create_or_upgrade(empty_database)
    put(open_catalog(empty_database), record(1))
    versions = tmp_path / "versions"
    versions.mkdir()
    for file in revisions.migrations().rglob("*.py"):
        (tmp_path / file.relative_to(revisions.migrations())).write_text(file.read_text())
    head = revisions.head_revision()
    (versions / "9999_later.py").write_text(KILLED_MIGRATION.format(head=head))
    died = subprocess.run(
        [sys.executable, "-c", NEWER_TRACKER, empty_database, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr

    engine = make_engine(parse_uri(empty_database))
    assert create_or_upgrade(empty_database) == head
    assert search(engine, Scope()) == [record(1)]
    assert sorted(inspect(engine).get_table_names()) == sorted([VERSION_TABLE, *TABLES])
