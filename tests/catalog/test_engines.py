from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tracker.catalog.engines import display_uri, make_engine, parse_uri, sqlite_file
from tracker.errors import CatalogError


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
        ("postgresql://ada@db/mlflow", "postgresql://ada@db/mlflow"),
        ("postgresql://ada:secret@db:5432/mlflow", "postgresql://ada:***@db:5432/mlflow"),
        ("postgresql://ada:sec/r@t@db/mlflow", "postgresql://ada:***@db/mlflow"),
        ("postgresql+psycopg://:secret@db/mlflow", "postgresql+psycopg://:***@db/mlflow"),
        ("postgresql:///m?user=a&password=secret&x=1", "postgresql:///m?user=a&password=***&x=1"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_uri_is_shown_without_its_password(uri: str, shown: str) -> None:
    assert display_uri(uri) == shown


def test_a_relative_sqlite_path_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sqlite_file(parse_uri("sqlite:///mlflow.db")) == tmp_path / "mlflow.db"
    assert sqlite_file(parse_uri("sqlite:////data/mlflow.db")) == Path("/data/mlflow.db")
    assert sqlite_file(parse_uri("postgresql://db/mlflow")) is None


@pytest.mark.parametrize(
    "uri",
    [
        *("", "nonsense", "mlruns", "./mlruns", "file:///data/mlruns", "https://mlflow.example"),
        *("mysql://ada:secret@db/mlflow", "postgresql://ada:secret@db:port/mlflow"),
        *("sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=ro&uri=true"),
    ],
)
def test_a_uri_of_no_usable_database_is_refused_with_advice(uri: str) -> None:
    with pytest.raises(CatalogError, match="needs sqlite:///mlflow") as caught:
        parse_uri(uri)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [(set(), "postgresql+psycopg"), ({"psycopg"}, "postgresql+psycopg2")],
)
def test_psycopg_3_is_preferred_to_psycopg_2(
    missing: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"psycopg", "psycopg2"} - missing
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in installed or None)

    assert parse_uri("postgresql://db/mlflow").drivername == expected


def test_without_a_postgresql_driver_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(CatalogError, match=r"pip install 'checkpoint-tracker\[postgres\]'"):
        parse_uri("postgresql://db/mlflow")


def test_a_named_driver_that_is_not_installed_is_refused_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)

    with pytest.raises(CatalogError, match=r"pip install 'checkpoint-tracker\[postgres\]'"):
        make_engine(parse_uri("postgresql+psycopg2://db/mlflow"))


def test_an_unknown_driver_is_refused() -> None:
    with pytest.raises(CatalogError, match="needs sqlite"):
        make_engine(parse_uri("postgresql+nonsense://ada:secret@db/mlflow"))
