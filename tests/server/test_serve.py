"""`tracker serve` refuses what would show everything to everybody, and says what is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.training import log
from tracker.cli import cli
from tracker.errors import InvalidArgumentError, TrackerError
from tracker.server import serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "myhost"])
def test_without_users_it_stays_on_this_machine(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with pytest.raises(InvalidArgumentError, match=r"--host 127\.0\.0\.1"):
        serve.serve(host, 5001)
    assert not list(tmp_path.iterdir())


def test_on_a_laptop_it_shows_what_the_database_holds(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []

    def run(app: FastAPI, **options: Any) -> None:
        client = TestClient(app, base_url="http://localhost")
        answers.append((options["host"], client.get("/api/1/statistics").json()["checkpoints"]))

    monkeypatch.setattr(serve.uvicorn, "run", run)
    said: list[str] = []
    serve.serve("127.0.0.1", 5001, say=said.append)
    log(epoch=1)
    serve.serve("localhost", 5001, say=said.append)
    assert answers == [("127.0.0.1", 0), ("localhost", 1)]
    assert "sqlite:///mlflow.db" in said[0]


def test_it_is_no_service_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("TRACKER_CATALOG_URI", "http://ada:secret@other:5001/tracker")
    with pytest.raises(InvalidArgumentError, match="needs a database there") as caught:
        serve.serve("127.0.0.1", 5001)
    assert "secret" not in str(caught.value)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tracker.server.serve")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(cli, ["serve"])
    assert isinstance(result.exception, TrackerError)
    assert "pip install 'checkpoint-tracker[server]'" in str(result.exception)
