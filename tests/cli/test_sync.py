"""`tracker sync`: what it sends, prints, and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner, Result

import tracker
from tests.models import Net
from tracker.cli import cli
from tracker.errors import RecordError
from tracker.saving import spool

pytestmark = pytest.mark.usefixtures("workplace")


def sync(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sync", *arguments], catch_exceptions=False)


def log_offline(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TRACKER_OFFLINE", "1")
        tracker.log_checkpoint(Net(hidden=4), wait=True, **arguments)


def test_nothing_waits(workplace: Path) -> None:
    done = sync()
    assert done.exit_code == 0
    assert done.stderr == f"Nothing waits in {workplace / 'spool'}.\n"
    assert sync("--json").stdout == "[]\n"


def test_what_waits_is_sent_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in range(2):
        log_offline(monkeypatch, epoch=epoch)
    done = sync()
    assert done.exit_code == 0
    newer, older = tracker.search_checkpoints()
    assert done.stdout.splitlines() == [
        f"sent  {found.name} of run {found.run_id}: {found.id}" for found in (older, newer)
    ]
    assert spool.waiting() == []


def test_json_tells_programs_the_same(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    log_offline(monkeypatch, epoch=3)
    (waiting,) = spool.waiting()
    (sent,) = json.loads(sync("--json").stdout)
    (found,) = tracker.search_checkpoints()
    assert sent == {
        "name": "epoch-3",
        "tracking_uri": f"sqlite:///{workplace}/mlflow.db",
        "directory": str(waiting.directory),
        "id": found.id,
        "run_id": found.run_id,
        "error": None,
    }


def test_what_is_refused_stays_with_the_reason_and_hinders_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mlflow.start_run() as run:
        log_offline(monkeypatch, epoch=0)
    mlflow.delete_run(run.info.run_id)
    log_offline(monkeypatch, epoch=1)
    done = sync()
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first.startswith(f"stays epoch-0: Run {run.info.run_id} was deleted in MLflow")
    assert second.startswith("sent  epoch-1")
    (kept,) = spool.waiting()
    assert kept.refused
    assert str(kept.directory) in first
    mlflow.tracking.MlflowClient().restore_run(run.info.run_id)
    assert sync().exit_code == 0


def test_a_store_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        for epoch in range(3):
            log_offline(patch, epoch=epoch)
    log_offline(monkeypatch, epoch=3)
    asked: list[str] = []
    check = spool_sync().check_reachable

    def counting(uri: str) -> None:
        asked.append(uri)
        check(uri)

    monkeypatch.setattr(spool_sync(), "check_reachable", counting)
    outcomes = json.loads(sync("--json").stdout)
    assert [each["error"] is None for each in outcomes] == [False, False, False, True]
    assert "127.0.0.1:9" in outcomes[0]["error"]
    assert asked.count("http://127.0.0.1:9") == 1
    assert len(spool.waiting()) == 3
    assert not any(each.refused for each in spool.waiting())


def spool_sync() -> Any:
    from tracker.saving import sync as module

    return module


def test_what_can_not_be_read_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    log_offline(monkeypatch, epoch=0)
    (waiting,) = spool.waiting()
    (waiting.directory / spool.DELIVERY).write_text("{")
    done = sync()
    assert done.exit_code == 1
    assert "is not JSON" in done.stdout


def refuse(*_: object, **__: object) -> None:
    raise RecordError("not now")


def test_the_password_comes_from_the_uri_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "http://ada:secret@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    log_offline(monkeypatch, epoch=0)
    (waiting,) = spool.waiting()
    assert "secret" not in (waiting.directory / spool.DELIVERY).read_text()
    asked: list[str] = []
    monkeypatch.setattr(spool_sync(), "check_reachable", asked.append)
    monkeypatch.setattr(spool_sync(), "deliver", refuse)
    assert sync().exit_code == 1
    assert set(asked) == {uri}
