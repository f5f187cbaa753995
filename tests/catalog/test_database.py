from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from tracker.catalog import (
    Scope,
    count,
    create_or_upgrade,
    current_revision,
    head_revision,
    open_catalog,
    put,
    search,
)
from tracker.catalog.database import migration_config
from tracker.catalog.engines import make_engine, parse_uri
from tracker.catalog.revisions import VERSION_TABLE
from tracker.catalog.tables import Table
from tracker.catalog.transactions import writing
from tracker.errors import CatalogError, CatalogVersionError, NotFoundError

from .examples import record


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))


class TestCreating:
    def test_makes_a_catalog_that_can_be_used(self, empty_database: str) -> None:
        assert create_or_upgrade(empty_database) == head_revision()

        engine = open_catalog(empty_database)
        assert current_revision(engine) == head_revision()
        put(engine, record(1))
        assert search(engine, Scope()) == [record(1)]

    def test_again_changes_nothing(self, empty_database: str) -> None:
        create_or_upgrade(empty_database)
        put(open_catalog(empty_database), record(1))

        assert create_or_upgrade(empty_database) == head_revision()

        assert search(open_catalog(empty_database), Scope()) == [record(1)]

    def test_makes_only_tables_of_its_own_name(self, empty_database: str) -> None:
        create_or_upgrade(empty_database)

        names = inspect(open_catalog(empty_database)).get_table_names()

        assert {VERSION_TABLE, *Table.metadata.tables} == set(names)
        assert all(name.startswith("tracker_") for name in names)

    def test_makes_the_tables_that_the_code_declares(self, empty_database: str) -> None:
        create_or_upgrade(empty_database)

        with open_catalog(empty_database).connect() as connection:
            options = {"version_table": VERSION_TABLE, "compare_server_default": True}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, Table.metadata) == []

    def test_makes_the_missing_directories_of_a_file(self, tmp_path: Path) -> None:
        create_or_upgrade(f"sqlite:///{tmp_path}/a/b/catalog.db")

        assert (tmp_path / "a/b/catalog.db").is_file()

    @pytest.mark.parametrize("name", ["a b.db", "a?b#c%20d.db", "ünï.db", "a&mode=ro.db"])
    def test_takes_any_file_name(self, tmp_path: Path, name: str) -> None:
        uri = f"sqlite:///{tmp_path}/{name.replace('?', '%3F')}"

        create_or_upgrade(uri)
        put(open_catalog(uri), record(1))

        assert len(list(tmp_path.iterdir())) == 1

    def test_leaves_the_journal_mode_of_a_file_alone(self, tmp_path: Path) -> None:
        create_or_upgrade(f"sqlite:///{tmp_path}/catalog.db")

        with sqlite3.connect(tmp_path / "catalog.db") as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    def test_at_once_in_several_processes_makes_one_catalog(self, empty_database: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        start = spawn.Barrier(3)
        processes = [
            spawn.Process(target=_create_at_once, args=(empty_database, start)) for _ in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)

        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert current_revision(open_catalog(empty_database)) == head_revision()

    def test_that_fails_midway_leaves_nothing_behind(self, empty_database: str) -> None:
        engine = make_engine(parse_uri(empty_database), "rwc")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE tracker_tags (in_the_way INTEGER)"))

        with pytest.raises(CatalogError, match="tracker_tags"):
            create_or_upgrade(empty_database)

        assert inspect(engine).get_table_names() == ["tracker_tags"]


def _create_at_once(uri: str, start: object) -> None:
    import alembic.command  # noqa: F401  so that all of them are ready at the barrier

    start.wait(30)  # type: ignore[attr-defined]
    create_or_upgrade(uri)


class TestOpening:
    def test_again_is_the_same_engine(self, catalog_uri: str) -> None:
        assert open_catalog(catalog_uri) is open_catalog(catalog_uri)

    def test_follows_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a", "b"):
            create_or_upgrade(f"sqlite:///{tmp_path}/{name}/mlflow.db")
        monkeypatch.chdir(tmp_path / "a")
        put(open_catalog("sqlite:///mlflow.db"), record(1))

        monkeypatch.chdir(tmp_path / "b")

        assert count(open_catalog("sqlite:///mlflow.db"), Scope()) == 0

    def test_a_missing_file_says_what_to_check_and_makes_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(NotFoundError, match="no checkpoint was logged") as caught:
            open_catalog("sqlite:///mlflow.db")

        assert str(tmp_path) in str(caught.value)
        assert "MLFLOW_TRACKING_URI" in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_a_database_without_a_catalog_says_what_to_check(self, empty_database: str) -> None:
        engine = make_engine(parse_uri(empty_database), "rwc")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE experiments (name VARCHAR(256))"))

        with pytest.raises(NotFoundError, match="holds no catalog: no checkpoint was logged"):
            open_catalog(empty_database)

        assert inspect(engine).get_table_names() == ["experiments"]

    def test_a_file_that_was_deleted_and_made_anew_is_another_catalog(self, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        create_or_upgrade(uri)
        open_catalog(uri)
        (tmp_path / "mlflow.db").unlink()

        with pytest.raises(NotFoundError):
            open_catalog(uri)

    def test_a_newer_schema_asks_for_a_newer_tracker(self, empty_database: str) -> None:
        create_or_upgrade(empty_database)
        engine = make_engine(parse_uri(empty_database))
        set_revision(engine, "9999")

        for use in (open_catalog, create_or_upgrade):
            with pytest.raises(CatalogVersionError, match="upgrade checkpoint-tracker"):
                use(empty_database)

        assert current_revision(engine) == "9999"

    @pytest.mark.parametrize(
        ("content", "message"), [(b"garbage " * 1000, "not a database"), (b"", "no catalog")]
    )
    def test_a_file_that_is_no_catalog_is_refused(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "mlflow.db").write_bytes(content)

        with pytest.raises((CatalogError, NotFoundError), match=message):
            open_catalog(f"sqlite:///{tmp_path}/mlflow.db")

        assert (tmp_path / "mlflow.db").read_bytes() == content

    def test_a_directory_in_place_of_a_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogError, match="unable to open"):
            open_catalog(f"sqlite:///{tmp_path}")

    def test_a_file_below_a_file_is_not_found_and_can_t_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        uri = f"sqlite:///{tmp_path}/file/mlflow.db"

        with pytest.raises(NotFoundError):
            open_catalog(uri)
        with pytest.raises(CatalogError, match="can't be made"):
            create_or_upgrade(uri)

    def test_a_server_that_does_not_answer_is_reported_without_the_password(self) -> None:
        with pytest.raises(CatalogError, match="can be reached") as caught:
            open_catalog("postgresql://ada:secret@127.0.0.1:1/mlflow")

        assert "secret" not in str(caught.value)

    @pytest.mark.system
    def test_a_database_that_does_not_exist_is_reported(
        self, new_postgresql_database: object
    ) -> None:
        uri = new_postgresql_database().replace("test_", "unknown_")  # type: ignore[operator]

        with pytest.raises(CatalogError, match=r"does not exist.*Check the database's name"):
            open_catalog(uri)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
    def test_a_forked_child_uses_connections_of_its_own(self, catalog_uri: str) -> None:
        engine = open_catalog(catalog_uri)
        put(engine, record(1))

        child = os.fork()
        if child == 0:
            own = open_catalog(catalog_uri)
            put(own, record(2))
            os._exit(0 if own is not engine and count(own, Scope()) == 2 else 1)

        assert os.waitpid(child, 0)[1] == 0
        assert count(engine, Scope()) == 2


class TestUpgrading:
    """With a history of two revisions: the released one, and one that adds a table after it."""

    @pytest.fixture
    def newer_tracker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        from tracker.catalog import revisions

        shutil.copytree(revisions.migrations(), tmp_path / "migrations")
        (tmp_path / "migrations/versions/9999_later.py").write_text(
            "from alembic import op\n"
            f"revision, down_revision = '9999', '{head_revision()}'\n"
            "def upgrade():\n"
            "    op.execute('CREATE TABLE tracker_later (id INTEGER)')\n"
        )
        monkeypatch.setattr(revisions, "migrations", lambda: tmp_path / "migrations")
        monkeypatch.setattr(revisions, "known_revisions", revisions.known_revisions.__wrapped__)
        monkeypatch.setattr(revisions, "head_revision", revisions.head_revision.__wrapped__)

    def test_keeps_what_is_in_the_catalog(
        self, empty_database: str, request: pytest.FixtureRequest
    ) -> None:
        create_or_upgrade(empty_database)
        put(open_catalog(empty_database), record(1))
        request.getfixturevalue("newer_tracker")

        assert create_or_upgrade(empty_database) == "9999"

        engine = open_catalog(empty_database)
        assert search(engine, Scope()) == [record(1)]
        assert inspect(engine).has_table("tracker_later")

    def test_happens_by_itself_for_a_file(
        self, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        create_or_upgrade(uri)
        request.getfixturevalue("newer_tracker")

        assert current_revision(open_catalog(uri)) == "9999"

    @pytest.mark.system
    def test_is_asked_for_on_a_server(
        self, new_postgresql_database: object, request: pytest.FixtureRequest
    ) -> None:
        uri = new_postgresql_database()  # type: ignore[operator]
        create_or_upgrade(uri)
        revision = head_revision()
        request.getfixturevalue("newer_tracker")

        with pytest.raises(CatalogVersionError, match="run `tracker db upgrade`"):
            open_catalog(uri)

        assert current_revision(make_engine(parse_uri(uri))) == revision


def test_the_head_revision_is_alembics() -> None:
    scripts = ScriptDirectory.from_config(migration_config())

    assert scripts.get_heads() == [head_revision()]


def test_the_catalog_imports_neither_torch_nor_mlflow_and_alembic_only_to_migrate(
    catalog_uri: str,
) -> None:
    script = (
        "import sys; from tracker import catalog; "
        f"catalog.search(catalog.open_catalog({catalog_uri!r}), catalog.Scope()); "
        "print({'torch', 'mlflow', 'alembic'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


def test_migrating_prints_nothing(empty_database: str) -> None:
    script = (
        "import logging; logging.basicConfig(level='WARNING'); "
        f"from tracker import catalog; catalog.create_or_upgrade({empty_database!r})"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_catalog_of_an_earlier_revision_is_upgraded_with_what_it_holds(
    empty_database: str, revision: str
) -> None:
    engine, config = make_engine(parse_uri(empty_database), "rwc"), migration_config()
    with writing(engine, "migration") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    put(engine, record(1))

    assert create_or_upgrade(empty_database) == head_revision()

    assert search(open_catalog(empty_database), Scope()) == [record(1)]
