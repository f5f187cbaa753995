"""A real MLflow server that is not there, comes back, or dies: every checkpoint arrives once."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from .processes import (
    PYTHON,
    TRACKER,
    environment,
    finish,
    free_port,
    mlflow_server,
    run,
    start,
    succeed,
    tracker_json,
    wait_until,
)
from .scripts import MODEL
from .test_server import serve

pytestmark = pytest.mark.system

FEW_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

TRAIN = f"""
import sys
import tracker
{MODEL}
for epoch in range(int(sys.argv[1])):
    tracker.log_checkpoint(Net(hidden=4), epoch=epoch, metrics={{"loss": 1.0 / (epoch + 1)}})
print("trained", flush=True)
"""

IN_STEPS = """
import sys
import mlflow
import tracker
from torch import nn

mlflow.set_experiment("steps")
with mlflow.start_run():
    for epoch, width in enumerate(sys.stdin):
        model = nn.Linear(int(width), int(width))
        tracker.log_checkpoint(model, epoch=epoch, metrics={"loss": 1.0})
        print("logged", flush=True)
    sys.stdin.close()
    tracker.flush()
print("ended", flush=True)
"""
"""Logs a checkpoint of the width that each line says."""


class Place:
    """A working directory, and a server that can be started and stopped on one port."""

    def __init__(self, directory: Path, database: Path) -> None:
        self.directory = directory
        self.options = serve(directory, database)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.variables = environment(directory, MLFLOW_TRACKING_URI=self.uri, **FEW_RETRIES)

    def server(self) -> Any:
        return mlflow_server(self.directory, *self.options, port=self.port)

    def has_a_manifest(self) -> bool:
        return any((self.directory / "files").rglob("checkpoint.json"))

    def is_receiving(self, size: int) -> bool:
        """Return whether a file of the server's grows that is larger than ``size``, or is whole."""
        files = (self.directory / "files").rglob("*")
        return any(file.is_file() and file.stat().st_size > size for file in files)

    def waiting(self) -> list[Path]:
        return list((self.directory / "spool").glob("*/delivery.json"))

    def epochs(self) -> list[int]:
        found = tracker_json("list", directory=self.directory, variables=self.variables)
        assert all(each["run_id"] == found[0]["run_id"] for each in found)
        return [each["epoch"] for each in found]

    def sync(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = tracker_json(
            "sync", directory=self.directory, variables=self.variables
        )
        return found

    def verify(self) -> None:
        """Load every checkpoint from the store, with an empty cache."""
        program = "import tracker\nfor c in tracker.search_checkpoints(): c.load_state_dict()"
        variables = self.variables | {"TRACKER_CACHE_DIR": str(self.directory / "fresh")}
        succeed(PYTHON, "-c", program, directory=self.directory, variables=variables)


@pytest.fixture
def place(tmp_path: Path, database_template: Path) -> Place:
    return Place(tmp_path, database_template)


def train(place: Place, epochs: int, **variables: str) -> Any:
    (place.directory / "train.py").write_text(TRAIN)
    return run(
        *(PYTHON, "train.py", str(epochs)),
        directory=place.directory,
        variables=place.variables | variables,
    )


def train_in_steps(place: Place) -> Popen[str]:
    return start(
        *(PYTHON, "-c", IN_STEPS),
        directory=place.directory,
        variables=place.variables,
        stdin=PIPE,
    )


def log(training: Popen[str], width: int) -> None:
    """Have a process of `IN_STEPS` log one more checkpoint, and wait for the call to return."""
    assert training.stdin is not None
    assert training.stdout is not None
    training.stdin.write(f"{width}\n")
    training.stdin.flush()
    line = training.stdout.readline()
    while line and line != "logged\n":  # MLflow prints, too
        line = training.stdout.readline()
    assert line, finish(training).stderr


def test_a_training_without_a_server_ends_soon_and_sync_delivers_it_later(place: Place) -> None:
    done = train(place, 3)
    assert done.returncode == 0, done.stderr
    assert "trained" in done.stdout
    assert done.stderr.count("can't be reached") == 1
    assert "3 checkpoints are not in MLflow yet, but kept in" in done.stderr
    assert "`tracker sync`" in done.stderr
    assert len(place.waiting()) == 3

    failed = run(TRACKER, "sync", "--json", directory=place.directory, variables=place.variables)
    assert failed.returncode == 1
    assert all("could not be reached" in each["error"] for each in json.loads(failed.stdout))

    with place.server():
        sent = place.sync()
        assert [(each["name"], each["error"]) for each in sent] == [
            (f"epoch-{epoch}", None) for epoch in range(3)
        ]
        assert place.epochs() == [2, 1, 0]
        assert place.sync() == []
        place.verify()
    assert not place.waiting()


def test_offline_nothing_is_asked_and_every_training_gets_its_run_later(place: Place) -> None:
    for _ in range(2):
        done = train(
            place,
            2,
            TRACKER_OFFLINE="1",
            MLFLOW_EXPERIMENT_NAME="aboard",
        )
        assert done.returncode == 0, done.stderr
        assert "2 checkpoints are not in MLflow yet" in done.stderr
        assert "can't be reached" not in done.stderr
    with place.server():
        assert len(place.sync()) == 4
        found = tracker_json(
            *("list", "--experiment", "aboard"),
            directory=place.directory,
            variables=place.variables,
        )
    assert [each["epoch"] for each in found] == [1, 0, 1, 0]
    assert len({each["run_id"] for each in found}) == 2
    assert found[0]["run_id"] == found[1]["run_id"]


def test_the_next_process_sends_what_an_earlier_one_left(place: Place) -> None:
    assert train(place, 3, TRACKER_OFFLINE="1").returncode == 0
    with place.server():
        training = train_in_steps(place)
        log(training, 4)
        wait_until(lambda: not place.waiting(), training)
        assert finish(training).returncode == 0
        found = tracker_json("list", directory=place.directory, variables=place.variables)
        assert [each["epoch"] for each in found] == [0, 2, 1, 0]


def test_a_server_that_dies_and_comes_back_misses_nothing(place: Place) -> None:
    with place.server() as (_, server):
        training = train_in_steps(place)
        log(training, 4)
        wait_until(lambda: place.has_a_manifest() and not place.waiting(), training)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        for _ in range(3):
            log(training, 4)
    with place.server():
        wait_until(lambda: not place.waiting(), training)
        done = finish(training)
        assert place.epochs() == [3, 2, 1, 0]
        place.verify()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("can't be reached") == 1
    assert done.stderr.count("answers again; ") == 1


def test_a_server_killed_during_an_upload_gets_it_when_it_is_back(place: Place) -> None:
    with place.server() as (_, server):
        training = train_in_steps(place)
        log(training, 4)
        wait_until(lambda: place.has_a_manifest() and not place.waiting(), training)
        log(training, 8192)
        wait_until(lambda: place.is_receiving(1 << 20), training)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        assert place.waiting()
    with place.server():
        wait_until(lambda: not place.waiting(), training)
        done = finish(training)
        assert done.returncode == 0, done.stderr
        assert place.epochs() == [1, 0]
        place.verify()


def test_two_processes_that_send_at_the_same_time_make_one_checkpoint_of_each(
    place: Place,
) -> None:
    train(place, 6, TRACKER_OFFLINE="1")
    with place.server():
        both = [
            start(TRACKER, "sync", "--json", directory=place.directory, variables=place.variables)
            for _ in range(2)
        ]
        printed = [json.loads(finish(process).stdout) for process in both]
        assert place.epochs() == [5, 4, 3, 2, 1, 0]
        place.verify()
    sent = [each["id"] for outcomes in printed for each in outcomes if each["id"]]
    assert len(set(sent)) == 6
    assert not any(each["error"] for outcomes in printed for each in outcomes)


def test_what_mlflow_refuses_stays_with_the_reason(place: Place) -> None:
    with place.server():
        program = f"""
import mlflow, os
run = mlflow.start_run(); mlflow.end_run()
os.environ["TRACKER_OFFLINE"] = "1"
import tracker
{MODEL}
tracker.log_checkpoint(Net(4), epoch=0, run_id=run.info.run_id)
tracker.flush()
mlflow.delete_run(run.info.run_id)
"""
        succeed(PYTHON, "-c", program, directory=place.directory, variables=place.variables)
        for _ in range(2):
            done = run(TRACKER, "sync", directory=place.directory, variables=place.variables)
            assert done.returncode == 1
            assert re.search(r"stays epoch-0: Run \w+ was deleted in MLflow", done.stdout)
    assert len(place.waiting()) == 1
