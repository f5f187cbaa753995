from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.training import log
from tracker import catalog
from tracker.errors import CatalogError, TrackerError
from tracker.upkeep.database import upgrade

pytestmark = pytest.mark.usefixtures("workplace")


def tables(file: Path) -> set[str]:
    connection = sqlite3.connect(file)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return names


def test_the_catalogs_tables_are_made_beside_mlflows(workplace: Path) -> None:
    done = upgrade()
    assert done.uri == "sqlite:///mlflow.db"
    assert done.revision == catalog.head_revision()
    assert {"tracker_checkpoints", "logged_models"} <= tables(workplace / "mlflow.db")


def test_mlflows_tables_come_first_in_a_new_database(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace / 'new.db'}")
    upgrade()
    assert {"tracker_checkpoints", "alembic_version", "logged_models"} <= tables(
        workplace / "new.db"
    )


def test_a_database_of_its_own_gets_the_catalog_alone(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CATALOG_URI", f"sqlite:///{workplace / 'catalog.db'}")
    upgrade()
    assert "tracker_checkpoints" in tables(workplace / "catalog.db")
    assert "logged_models" not in tables(workplace / "catalog.db")


def test_upgrading_again_changes_nothing() -> None:
    checkpoint = log(epoch=1)
    assert upgrade() == upgrade()
    assert checkpoint.load_model()


def test_a_database_that_is_none_is_an_error(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "text.db").write_text("this is no database" * 100)
    monkeypatch.setenv("TRACKER_CATALOG_URI", f"sqlite:///{workplace / 'text.db'}")
    with pytest.raises(CatalogError, match=r"text\.db"):
        upgrade()


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_CATALOG_URI", "postgresql://ada:secret@127.0.0.1:9/m")
    with pytest.raises(TrackerError) as caught:
        upgrade()
    assert "secret" not in str(caught.value)
