"""MLflow and tracker on one database: PostgreSQL, and SQLite, whichever of the two came first."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from tracker.catalog import head_revision
from tracker.catalog.engines import parse_uri

from ..conftest import NewDatabase
from .processes import PYTHON, TRACKER, environment, place, run, succeed, tracker_json
from .scripts import LOAD_BEST, THREE_EPOCHS

pytestmark = pytest.mark.system

MAKE_MLFLOWS_TABLES = "import mlflow; mlflow.MlflowClient().search_experiments()"


def variables_for(uri: str, directory: Path) -> dict[str, str]:
    # The repository's own artifact root would be ./mlruns of whoever made the database.
    return environment(directory, MLFLOW_TRACKING_URI=uri)


def log_and_load(directory: Path, variables: dict[str, str]) -> None:
    (directory / "train.py").write_text(THREE_EPOCHS)
    succeed(PYTHON, "train.py", directory=directory, variables=variables)
    printed = succeed(
        *(PYTHON, "-c", LOAD_BEST, "expected.pt"), directory=directory, variables=variables
    )
    assert printed.split() == ["1", "Net(hidden=8,", "depth=3)"]
    found = tracker_json("list", directory=directory, variables=variables)
    assert [each["epoch"] for each in found] == [2, 1, 0]
    best = tracker_json("best", "val_accuracy", directory=directory, variables=variables)
    assert best["epoch"] == 1


def trackers_tables(uri: str) -> list[str]:
    engine = create_engine(parse_uri(uri))
    names = inspect(engine).get_table_names()
    engine.dispose()
    return [name for name in names if name.startswith("tracker")]


def logged_models(uri: str) -> int:
    engine = create_engine(parse_uri(uri))
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM logged_models")).scalar_one()
    engine.dispose()
    return int(count)


def test_a_server_database_is_never_migrated_by_a_training_job(
    new_postgresql_database: NewDatabase, tmp_path: Path
) -> None:
    uri = new_postgresql_database()
    variables = variables_for(uri, tmp_path)
    (tmp_path / "train.py").write_text(THREE_EPOCHS)
    done = run(PYTHON, "train.py", directory=tmp_path, variables=variables)
    assert done.returncode != 0
    assert "CatalogVersionError" in done.stderr
    assert "tracker db upgrade" in done.stderr
    assert trackers_tables(uri) == []
    assert logged_models(uri) == 0, "it was refused too late"
    succeed(TRACKER, "db", "upgrade", directory=tmp_path, variables=variables)
    log_and_load(tmp_path, variables)


def test_tracker_first_makes_mlflows_tables_too(
    new_postgresql_database: NewDatabase, tmp_path: Path
) -> None:
    uri = new_postgresql_database()
    variables = variables_for(uri, tmp_path)
    done = tracker_json("db", "upgrade", directory=tmp_path, variables=variables)
    assert done["revision"] == head_revision()
    succeed(PYTHON, "-m", "mlflow", "db", "upgrade", uri, directory=tmp_path, variables=variables)
    log_and_load(tmp_path, variables)


def test_mlflow_first_and_its_upgrade_afterwards(
    new_postgresql_database: NewDatabase, tmp_path: Path
) -> None:
    uri = new_postgresql_database()
    variables = variables_for(uri, tmp_path)
    succeed(PYTHON, "-c", MAKE_MLFLOWS_TABLES, directory=tmp_path, variables=variables)
    succeed(TRACKER, "db", "upgrade", directory=tmp_path, variables=variables)
    log_and_load(tmp_path, variables)
    succeed(PYTHON, "-m", "mlflow", "db", "upgrade", uri, directory=tmp_path, variables=variables)
    doctor = tracker_json("doctor", directory=tmp_path, variables=variables)
    assert {each["name"]: each["ok"] for each in doctor}["catalog"] is True
    assert tracker_json("best", "val_loss", directory=tmp_path, variables=variables)["epoch"] == 1


@pytest.mark.parametrize("first", ["tracker", "mlflow"])
def test_sqlite_whichever_came_first(tmp_path: Path, database_template: Path, first: str) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    variables = variables_for(uri, tmp_path)
    if first == "tracker":
        succeed(TRACKER, "db", "upgrade", directory=tmp_path, variables=variables)
    else:
        place(database_template, tmp_path)
    log_and_load(tmp_path, variables)
    succeed(PYTHON, "-m", "mlflow", "db", "upgrade", uri, directory=tmp_path, variables=variables)
    assert tracker_json("best", "val_loss", directory=tmp_path, variables=variables)["epoch"] == 1


def test_a_database_that_does_not_answer_shows_no_password(tmp_path: Path) -> None:
    variables = variables_for("postgresql://ada:secret@127.0.0.1:1/mlflow", tmp_path)
    done = run(TRACKER, "list", directory=tmp_path, variables=variables)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert "ada:***@127.0.0.1:1" in done.stderr
