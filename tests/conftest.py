"""A working directory of its own for each test that talks to MLflow, with a real database in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's schema, made once: it costs seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    directory = tmp_path_factory.mktemp("template")
    file = directory / "mlflow.db"
    store = SqlAlchemyStore(f"sqlite:///{file}", (directory / "mlruns").as_uri())
    store.engine.dispose()
    return file


@pytest.fixture
def workplace(
    database_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A fresh working directory where MLflow's default, ``sqlite:///mlflow.db``, is in force."""
    database = tmp_path / "mlflow.db"
    shutil.copy(database_template, database)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", [f"{tmp_path}/mlruns/0"])
    environment = dict(os.environ)
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "TRACKER_"))]:
        del os.environ[name]
    os.environ["TRACKER_CACHE_DIR"] = str(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    _forget_mlflow()
    yield tmp_path
    _forget_mlflow()
    os.environ.clear()
    os.environ.update(environment)


def _forget_mlflow() -> None:
    """Drop what MLflow keeps in the process: runs, experiment, URIs, stores and their engines."""
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking import fluent
    from mlflow.tracking._model_registry import utils as registry
    from mlflow.tracking._tracking_service import utils as tracking

    while mlflow.active_run():
        mlflow.end_run()
    fluent._active_experiment_id = None
    tracking._tracking_uri = None
    registry._registry_uri = None
    tracking._tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()
    SqlAlchemyStore._engine_map.clear()
