from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tracker.catalog import (
    Scope,
    count,
    create_or_upgrade,
    open_for_logging,
    open_for_reading,
    open_for_reindexing,
)
from tracker.errors import CatalogVersionError, NotFoundError


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_logging_creates_a_sqlite_catalog(uri: str) -> None:
    assert count(open_for_logging(uri), Scope()) == 0


@pytest.mark.parametrize("open_it", [open_for_reading, open_for_reindexing])
def test_reading_and_reindexing_make_no_file(uri: str, tmp_path: Path, open_it) -> None:
    with pytest.raises(NotFoundError, match="no checkpoint was logged"):
        open_it(uri)
    assert list(tmp_path.iterdir()) == []


def test_reindexing_creates_the_tables_in_a_file_of_mlflows(uri: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert count(open_for_reindexing(uri), Scope()) == 0


@pytest.mark.system
@pytest.mark.parametrize("open_it", [open_for_logging, open_for_reindexing])
def test_tables_on_a_server_are_made_by_db_upgrade_only(
    new_postgresql_database: NewDatabase, open_it
) -> None:
    uri = new_postgresql_database()
    with pytest.raises(CatalogVersionError, match="tracker db upgrade"):
        open_it(uri)
    create_or_upgrade(uri)
    assert count(open_it(uri), Scope()) == 0


def test_the_catalog_of_a_tracking_server_is_a_mirror_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRACKER_CATALOG_URI", raising=False)
    assert count(open_for_reading("http://mlflow.example.org"), Scope()) == 0
    assert [file.suffix for file in (tmp_path / "cache" / "mirrors").iterdir()] == [".db"]
