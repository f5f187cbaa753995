"""The short way to the best checkpoint finds what the long one finds, or leaves it to that."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.catalog import Scope, best, direct, open_catalog, put_all, put_experiments
from tracker.types import CheckpointRecord, Mode

from .examples import record

PLACES: list[dict[str, Any]] = [
    {},
    {"experiment": "digits"},
    {"run_id": "run-1"},
    {"experiment": "digits", "run_id": "run-2"},
]


@pytest.fixture
def uri(sqlite_catalog_file: Path, tmp_path: Path) -> str:
    """A catalog that holds no checkpoint."""
    shutil.copy(sqlite_catalog_file, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def fill(uri: str, *records: CheckpointRecord) -> None:
    put_all(open_catalog(uri), records)


def the_long_way(
    uri: str, mode: Mode, experiment: str | None = None, run_id: str | None = None
) -> Any:
    scope = Scope(None if experiment is None else (experiment,), run_id)
    return best(open_catalog(uri), scope, "val_loss", mode)


def same(a: CheckpointRecord | None, b: CheckpointRecord | None) -> bool:
    """Return whether two are equal; a NaN equals a NaN."""
    return (None if a is None else repr(asdict(a))) == (None if b is None else repr(asdict(b)))


VALUES = st.sampled_from([0.25, 0.5, -0.0, 0.0, math.inf, -math.inf, math.nan, 1e-300, 7.0])
CHECKPOINTS = st.lists(
    st.builds(
        lambda loss, epoch, made, run, experiment: {
            "metrics": {"val_loss": loss, "other": 1.0},
            "epoch": epoch,
            "created_at": made,
            "run_id": f"run-{run}",
            "experiment_id": experiment,
            "experiment": {"7": "digits", "8": "letters"}[experiment],
        },
        VALUES,
        st.none() | st.integers(-2, 3),
        st.integers(0, 2),
        st.integers(1, 2),
        st.sampled_from("78"),
    ),
    max_size=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(checkpoints=CHECKPOINTS, mode=st.sampled_from(["min", "max"]))
def test_both_ways_find_the_same(
    checkpoints: list[dict[str, Any]], mode: Mode, sqlite_catalog_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    file.unlink(missing_ok=True)
    shutil.copy(sqlite_catalog_file, file)
    uri = f"sqlite:///{file}"
    fill(uri, *(record(n, **each) for n, each in enumerate(checkpoints)))
    for place in PLACES:
        known = not place.get("experiment") or any(
            each["experiment"] == "digits" for each in checkpoints
        )
        found = direct.best(uri, "val_loss", mode, **place)
        assert same(found, the_long_way(uri, mode, **place)) or (found is None and not known)


def test_finds_the_whole_record(uri: str) -> None:
    wanted = record(3, metrics={"nan": math.nan, "val_loss": 0.1}, tags={"ü'": 'a"'}, step=None)
    fill(uri, record(1), wanted, record(2))

    assert same(direct.best(uri, "val_loss", "min"), wanted)
    assert same(direct.by_id(uri, wanted.id), wanted)
    assert direct.by_id(uri, wanted.id[:-1]) is None


def test_a_relative_path_and_one_with_odd_characters_are_found(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uri, record(1))
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "50% #1 ü.db")
    monkeypatch.chdir(tmp_path)

    for name in ("mlflow.db", "50% #1 ü.db"):
        assert direct.best(f"sqlite:///{name}", "val_loss", "min") == record(1)


@contextmanager
def changed(uri: str, *statements: str) -> Iterator[None]:
    """Run statements on the catalog's file and keep the last one's transaction open."""
    connection = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    with closing(connection):
        for statement in statements:
            connection.execute(statement)
        yield


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN EXCLUSIVE",
        "UPDATE tracker_alembic_version SET version_num = '9999'",
        "DROP TABLE tracker_alembic_version",
        "DROP TABLE tracker_tags",
        "DROP TABLE tracker_experiments",
    ],
)
def test_what_is_not_as_usual_is_left_to_the_long_way(uri: str, statement: str) -> None:
    fill(uri, record(1))
    with changed(uri, statement):
        assert direct.best(uri, "val_loss", "min") is None


def test_an_experiment_with_two_ids_is_left_to_the_long_way(uri: str) -> None:
    fill(uri, record(1), record(2, experiment_id="8"))
    put_experiments(open_catalog(uri), {"8": "digits"})

    assert direct.best(uri, "val_loss", "min", experiment="digits") is None


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x.db",
        "sqlite:///mlflow.db?timeout=1",
        "sqlite:///missing/mlflow.db",
        "sqlite+pysqlite:///mlflow.db",
        "postgresql://nobody@localhost/none",
        "http://localhost:1",
    ],
)
def test_other_databases_are_left_to_the_long_way(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKER_CATALOG_URI", raising=False)

    assert direct.best(uri, "val_loss", "min") is None
    assert list(tmp_path.iterdir()) == []


def test_text_that_no_database_holds_is_left_to_the_long_way(uri: str) -> None:
    fill(uri, record(1))

    for name in ("\ud800", "a\0b", "'; DROP TABLE tracker_metrics; --"):
        assert direct.best(uri, name, "min") is None
        assert direct.best(uri, "val_loss", "min", experiment=name) is None
        assert direct.best(uri, "val_loss", "min", run_id=name) is None
    assert direct.best(uri, "val_loss", "min") == record(1)


def test_the_plan_is_that_of_one_index(uri: str) -> None:
    fill(uri, *(record(n) for n in range(50)))
    for place, index in (
        ({}, "best_of_all"),
        ({"experiment": "digits"}, "best_of_experiment"),
        ({"run_id": "run-1"}, "best_of_run"),
    ):
        with closing(direct._connect(Path(uri.removeprefix("sqlite:///")))) as connection:
            asked: list[str] = []
            connection.set_trace_callback(asked.append)
            direct._best(
                connection, "val_loss", "min", place.get("experiment"), place.get("run_id")
            )
            connection.set_trace_callback(None)
            of_metrics = [query for query in asked if "tracker_metrics" in query]
            plans = [connection.execute(f"EXPLAIN QUERY PLAN {q}").fetchall() for q in of_metrics]
        assert len(plans) == 2
        for plan in plans:
            assert f"COVERING INDEX tracker_metrics_{index}" in plan[0]["detail"]
