"""`doctor` says what is in force and whether it answers; it changes nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

import tracker
from tests.models import Net
from tests.training import log
from tracker import api, settings
from tracker.upkeep.doctor import Finding, examine

pytestmark = pytest.mark.usefixtures("workplace")


def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def test_everything_in_order_is_ok_and_counted(workplace: Path) -> None:
    log(epoch=1)
    found = findings()
    assert list(found)[:4] == ["tracking store", "catalog", "artifact store", "spool"]
    assert all(finding.ok for finding in found.values())
    assert found["tracking store"].detail == "answers; 1 experiment"
    assert found["catalog"].detail.startswith("answers; 1 checkpoint, schema ")
    assert found["artifact store"].value == f"{workplace}/mlruns/0"
    assert found["torch"].value == importlib.metadata.version("torch")


def test_a_database_that_does_not_exist_yet_is_no_fault_and_is_not_made(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new.db")
    found = findings()
    for name in ("tracking store", "catalog", "artifact store"):
        assert found[name].ok is None
        assert "the first checkpoint logged creates it" in found[name].detail
    assert not (workplace / "new.db").exists()


def test_a_catalog_without_tables_is_no_fault() -> None:
    assert findings()["catalog"].ok is None


def test_a_catalog_that_is_newer_fails_with_what_to_do(workplace: Path) -> None:
    log(epoch=1)
    with sqlite3.connect(workplace / "mlflow.db") as connection:
        connection.execute("UPDATE tracker_alembic_version SET version_num = '9999'")
    connection.close()
    # In a process of its own, as people run it: an open catalog is checked once.
    command = [sys.executable, "-m", "tracker", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    catalog = json.loads(done.stdout)[1]
    assert (done.returncode, catalog["name"], catalog["ok"]) == (1, "catalog", False)
    assert "9999" in catalog["detail"]


def test_a_server_that_does_not_answer_fails_and_its_password_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    found = findings()
    assert found["tracking store"].ok is False
    assert found["tracking store"].value == "http://ada:***@127.0.0.1:9"
    assert "secret" not in repr(found)
    assert found["torch"].ok


def test_an_artifact_store_that_can_not_be_written_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.create_experiment("digits", artifact_location="/proc/nowhere")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, m: str(p) != "/proc" and access(p, m))
    store = findings()["artifact store"]
    assert store.ok is False
    assert store.detail == "/proc can't be written by this user"


def test_a_remote_artifact_store_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.create_experiment("digits", artifact_location="nonsense://bucket")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    store = findings()["artifact store"]
    assert (store.ok, store.value) == (False, "nonsense://bucket")


def test_checkpoints_that_wait_to_be_sent_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    tracker.log_checkpoint(Net(), epoch=1)
    tracker.flush()
    spool = findings()["spool"]
    assert (spool.ok, spool.value) == (None, str(settings.spool_directory()))
    assert spool.detail == "1 checkpoint waits there: `tracker sync` sends what it can"


def test_shards_of_checkpoints_that_failed_are_counted() -> None:
    (settings.spool_directory() / "shards" / "epoch-1-rank-0-of-2-0f3c").mkdir(parents=True)
    spool = findings()["spool"]
    assert spool.ok
    assert "nothing waits to be sent; " in spool.detail
    assert "1 folder holds shards of checkpoints that could not be saved" in spool.detail


def test_a_checkpoint_that_was_refused_is_a_fault_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = mlflow.start_run()
    mlflow.end_run()
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    tracker.log_checkpoint(Net(), epoch=1, run_id=run.info.run_id)
    tracker.flush()
    monkeypatch.delenv("TRACKER_OFFLINE")
    mlflow.delete_run(run.info.run_id)
    assert api.sync()[0].error is not None
    spool = findings()["spool"]
    assert spool.ok is False
    assert "epoch-1" in spool.detail
    assert "deleted" in spool.detail


def test_a_package_that_is_missing_fails_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = importlib.metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_torch)
    found = findings()["torch"]
    assert (found.ok, found.detail) == (False, "pip install torch")
