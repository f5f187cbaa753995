from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tracker.catalog import Scope, count, create_or_upgrade, engines, open_catalog, put, search
from tracker.catalog.transactions import reading, writing
from tracker.errors import CatalogDamagedError, CatalogError

from .examples import record


def test_a_write_that_fails_changes_nothing(catalog: Engine) -> None:
    put(catalog, record(1))

    def delete_and_fail() -> None:
        with writing(catalog, "test") as connection:
            connection.execute(text("DELETE FROM tracker_checkpoints"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()

    assert search(catalog, Scope()) == [record(1)]


def test_a_reader_sees_one_moment(catalog: Engine, catalog_uri: str) -> None:
    put(catalog, record(1))
    rows = text("SELECT count(*) FROM tracker_checkpoints")

    with reading(catalog) as connection:
        before = connection.execute(rows).scalar()
        if catalog.dialect.name == "postgresql":  # a writer of a SQLite file waits for readers
            put(catalog, record(2))
        assert connection.execute(rows).scalar() == before


def test_a_database_that_lost_its_tables_is_reported_with_advice(
    empty_database: str,
) -> None:
    create_or_upgrade(empty_database)
    engine = open_catalog(empty_database)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE tracker_metrics"))

    with pytest.raises(CatalogDamagedError, match="tracker reindex --anew") as caught:
        put(engine, record(1))

    assert caught.value.__cause__ is not None


def test_a_file_that_stays_locked_is_reported(
    tmp_path: Path, sqlite_catalog_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_SECONDS", 0.05)
    file = tmp_path / "mlflow.db"
    file.write_bytes(sqlite_catalog_file.read_bytes())
    engine = open_catalog(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(CatalogError, match="Another process kept it locked"):
        put(engine, record(1))

    other.execute("ROLLBACK")
    other.close()
    assert put(engine, record(1)) == []
    assert count(engine, Scope()) == 1


def test_errors_name_a_server_without_its_password(catalog: Engine) -> None:
    with pytest.raises(CatalogError) as caught, reading(catalog) as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))

    password = catalog.url.password
    assert catalog.url.database is not None
    assert not password or password not in str(caught.value)
