"""Which run a checkpoint goes to, and by which way, whether MLflow answers or not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import mlflow
import pytest

from tracker.errors import InvalidArgumentError, NotFoundError, RecordUnreachableError
from tracker.record.boundary import tracking_uri
from tracker.saving import destination

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at any tracking URI."""

    def check(uri: str) -> None:
        raise RecordUnreachableError(f"nobody answers at {uri}")

    monkeypatch.setattr(destination, "check_reachable", check)


def find(run_id: str | None = None) -> destination.Destination:
    return destination.find(tracking_uri(), run_id)


def test_the_run_in_force_in_this_thread_is_where_it_goes() -> None:
    with mlflow.start_run() as run:
        found = find()
    assert found.run is not None
    assert found.run_id == found.run.id == found.label == run.info.run_id


def test_a_run_that_is_named_goes_before_the_active_one() -> None:
    with mlflow.start_run() as named:
        pass
    with mlflow.start_run():
        assert find(named.info.run_id).run_id == named.info.run_id


def test_without_a_run_one_is_started() -> None:
    found = find()
    active = mlflow.active_run()
    assert active is not None
    assert found.run_id == active.info.run_id


def test_a_run_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(NotFoundError, match="0f3c"):
        find("0f3c")
    with pytest.raises(InvalidArgumentError, match="run_id=''"):
        find("")


def test_a_database_and_files_on_this_machine_are_written_directly() -> None:
    assert find().is_direct


@pytest.mark.parametrize("location", ["s3://bucket/1", "mlflow-artifacts:/1"])
def test_files_that_go_over_the_network_go_by_way_of_the_spool(location: str) -> None:
    mlflow.create_experiment("far", artifact_location=location)
    mlflow.set_experiment("far")
    assert not find().is_direct


def test_a_run_that_was_met_before_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run():
        met = find()

        def fail(uri: str) -> None:
            raise AssertionError(uri)

        monkeypatch.setattr(destination, "check_reachable", fail)
        assert find() == met


def test_in_an_outage_a_run_is_known_by_its_id_alone(gone: None) -> None:
    with mlflow.start_run() as run:
        found = find()
    assert (found.run, found.run_id, found.session) == (None, run.info.run_id, None)
    assert not found.is_direct
    assert find("0f3c").run_id == "0f3c"


def test_in_an_outage_a_training_without_a_run_gets_a_session_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, gone: None
) -> None:
    mlflow.set_experiment("digits")
    first = find()
    assert first.run_id is None
    assert first.session is not None
    assert first.label == first.session.id
    assert first.session.experiment_id == mlflow.get_experiment_by_name("digits").experiment_id
    monkeypatch.setattr(destination, "check_reachable", lambda uri: None)
    assert find() == first
    assert mlflow.active_run() is None
    with mlflow.start_run() as run:
        assert find().run_id == run.info.run_id


def test_a_session_is_the_same_in_every_thread_and_another_in_a_forked_child(gone: None) -> None:
    own, found = find(), []
    thread = threading.Thread(target=lambda: found.append(find()))
    thread.start()
    thread.join()
    assert found == [own]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, find().label.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != own.label


def test_offline_no_one_is_asked(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "aboard")
    (workplace / "mlflow.db").unlink()
    found = find()
    assert found.offline
    assert found.session is not None
    assert found.session.experiment == "aboard"
    assert not (workplace / "mlflow.db").exists()
