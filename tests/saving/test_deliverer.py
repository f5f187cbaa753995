"""What the deliverer does while MLflow can't be reached, refuses, or is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import tracker
from tests.models import Net
from tests.training import log
from tracker import api, settings
from tracker.errors import RecordError, RecordUnreachableError, StorageError, TrackerWarning
from tracker.record import logged_models
from tracker.record.boundary import tracking_uri
from tracker.saving import deliverer, destination, files, spool, tickets

pytestmark = pytest.mark.usefixtures("workplace")


def log_one(epoch: int, **arguments: Any) -> tracker.PendingCheckpoint:
    return tracker.log_checkpoint(Net(hidden=4), epoch=epoch, **arguments)


class Line:
    """The line to MLflow. It can be cut; what then is asked is not answered."""

    def __init__(self) -> None:
        self.is_cut = False
        self.asked = 0

    def check(self, uri: str) -> None:
        self.asked += 1
        if self.is_cut:
            raise RecordUnreachableError(f"nobody answers at {uri}")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Every store is one over the network, whose line can be cut; pauses are short."""
    line = Line()
    monkeypatch.setattr(destination.Destination, "is_direct", property(lambda self: False))
    for room in (deliverer, destination):
        monkeypatch.setattr(room, "check_reachable", line.check)
    monkeypatch.setattr(deliverer, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(deliverer, "LONGEST_PAUSE", 0.2)
    yield line
    line.is_cut = False
    eventually(lambda: not any(not each.refused for each in spool.waiting()))


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def epochs() -> list[int | None]:
    return [each.epoch for each in tracker.search_checkpoints()]


def test_a_checkpoint_goes_by_way_of_the_spool_and_leaves_it(line: Line) -> None:
    found = log_one(1).result(60)
    assert tracker.search_checkpoints() == [found]
    assert spool.waiting() == []


def test_an_outage_is_one_warning_and_training_goes_on(line: Line) -> None:
    with mlflow.start_run():
        log_one(0).result(60)
        line.is_cut = True
        with pytest.warns(TrackerWarning) as told:  # noqa: PT031 - it comes by one of them
            pending = [log_one(epoch) for epoch in range(1, 4)]
            eventually(lambda: len(spool.waiting()) == 3)
            eventually(lambda: not tickets.unfinished())
            log_one(4)
        outages = [each for each in told if "can't be reached" in str(each.message)]
        assert len(outages) == 1
        assert str(settings.spool_directory()) in str(outages[0].message)
        assert not any(each.done() for each in pending)
        with pytest.raises(TimeoutError, match=r"epoch-1 .* is not saved yet"):
            pending[0].result(timeout=0.2)
        line.is_cut = False
        assert [each.result(60).epoch for each in pending] == [1, 2, 3]
        eventually(lambda: not spool.waiting())
        assert epochs() == [4, 3, 2, 1, 0]


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_the_end_of_an_outage_is_said_once(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    log_one(0).result(60)
    line.is_cut = True
    pending = [log_one(epoch) for epoch in range(1, 3)]
    eventually(lambda: not tickets.unfinished())
    line.is_cut = False
    for each in pending:
        each.result(60)
    said = [r for r in caplog.records if "answers again" in r.getMessage()]
    assert [r.levelno for r in said] == [logging.WARNING]


def test_in_an_outage_flush_and_queries_do_not_wait_for_what_is_safe(line: Line) -> None:
    log_one(0).result(60)
    line.is_cut = True
    log_one(1)
    with pytest.warns(TrackerWarning, match="1 checkpoint is not in MLflow yet, but kept in"):
        tracker.flush(timeout=30)
    assert epochs() == [0]


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_who_waits_for_durability_gets_it_from_the_spool(line: Line) -> None:
    log_one(0).result(60)
    line.is_cut = True
    assert not log_one(1, wait=True).done()
    assert len(spool.waiting()) == 1


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_pauses_grow(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    log_one(0).result(60)
    monkeypatch.setattr(deliverer, "LONGEST_PAUSE", 60)
    monkeypatch.setattr(deliverer, "FIRST_PAUSE", 1)
    line.is_cut = True
    log_one(1)
    eventually(lambda: not tickets.unfinished())
    asked = line.asked
    time.sleep(1)
    assert line.asked - asked <= 2
    line.is_cut = False
    deliverer.try_all_now(timeout=30)
    tracker.flush(timeout=60)
    assert epochs() == [1, 0]


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_a_last_try_that_fails_ends_soon(line: Line) -> None:
    log_one(0).result(60)
    line.is_cut = True
    log_one(1)
    eventually(lambda: not tickets.unfinished())
    started = time.monotonic()
    deliverer.try_all_now(timeout=20)
    assert time.monotonic() - started < 10
    assert any(
        "not in MLflow yet" in words and "epoch-1" in words for words in tickets.last_words()
    )


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_a_training_that_begins_in_an_outage_keeps_its_run(line: Line) -> None:
    line.is_cut = True
    first = log_one(0)
    line.is_cut = False
    second = log_one(1)
    assert first.result(60).run_id == second.result(60).run_id
    assert mlflow.active_run() is None
    assert len(mlflow.search_runs(output_format="list")) == 1


def test_what_is_refused_is_raised_kept_and_in_nobodys_way(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RecordError("not like this")

    with mlflow.start_run():
        with monkeypatch.context() as patch:
            patch.setattr(logged_models, "finish", refuse)
            with pytest.raises(RecordError, match="not like this") as caught:
                log_one(0).result(60)
        (kept,) = spool.waiting()
        assert kept.refused
        assert f"kept in {kept.directory}" in "".join(caught.value.__notes__)
        assert log_one(1).result(60).epoch == 1
    assert spool.waiting() == [kept]


def test_a_store_that_answers_but_fails_again_and_again_is_left_to_sync(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RecordUnreachableError("status 504")

    with mlflow.start_run(), monkeypatch.context() as patch:
        patch.setattr(logged_models, "finish", fail)
        with pytest.raises(RecordUnreachableError, match="504"):
            log_one(0).result(60)
        with pytest.warns(TrackerWarning, match="can't be reached"):
            tickets.tell()
        kept = spool.waiting()
    assert [each.attempts for each in kept] == [5]
    spool.forget(kept[0])


def test_a_store_that_goes_in_the_middle_of_a_delivery_is_noticed_beside_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "_SECONDS_BETWEEN_LOOKS", 0.05)
    finish = logged_models.finish

    def hang(*arguments: Any) -> None:
        line.is_cut = True
        eventually(lambda: not tickets.unfinished())  # as MLflow's client does, for minutes
        line.is_cut = False
        finish(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(logged_models, "finish", hang)
        log_one(0).result(60)
    with pytest.warns(TrackerWarning, match="can't be reached"):
        tickets.tell()
    assert epochs() == [0]


def test_offline_nothing_is_asked_of_mlflow(
    line: Line, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    monkeypatch.setattr(MlflowClient, "__init__", None)  # nobody can make one
    pending = log_one(0, wait=True)
    assert pending.done()
    with pytest.raises(
        RecordUnreachableError, match=f"kept in {workplace / 'spool'}.*tracker sync"
    ):
        pending.result()
    tracker.flush()
    log_one(1, wait=True)
    assert len(spool.waiting()) == 2
    assert line.asked == 0
    for each in spool.waiting():
        spool.forget(each)


def test_a_direct_save_that_fails_is_raised_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_checkpoint", full)
        with pytest.raises(StorageError, match="full") as caught:
            log(epoch=1)
    (kept,) = spool.waiting()
    assert kept.refused
    assert "`tracker sync`" in "".join(caught.value.__notes__)

    (sent,) = api.sync()
    assert sent.error is None
    assert epochs() == [1]


def test_a_direct_save_in_an_outage_arrives_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = iter([1])
    create = logged_models.create

    def locked(*arguments: Any, **options: Any) -> Any:
        if next(failing, None):
            raise RecordUnreachableError("database is locked")
        return create(*arguments, **options)

    monkeypatch.setattr(logged_models, "create", locked)
    assert log(epoch=1).epoch == 1
    assert spool.waiting() == []


def test_if_the_spool_refuses_too_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(files, "write_checkpoint", full)
    monkeypatch.setattr(spool, "new_directory", full)
    with pytest.raises(StorageError) as caught:
        log(epoch=1)
    assert "Nor could the checkpoint be kept in the spool" in "".join(caught.value.__notes__)


def test_the_next_process_sends_what_was_left_but_not_what_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mlflow.start_run():
        with monkeypatch.context() as patch:
            patch.setenv("TRACKER_OFFLINE", "1")
            for epoch in range(3):
                log_one(epoch, wait=True)
        _, second, _ = spool.waiting()
        spool.write(replace(second, refused=True, error="not like this"))
        deliverer._deliverers.clear()  # as in a process that begins
        log_one(3).result(60)
        eventually(lambda: len(spool.waiting()) == 1)
    assert [each.id for each in spool.waiting()] == [second.id]
    assert epochs() == [3, 2, 0]


def test_what_goes_to_another_store_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TRACKER_OFFLINE", "1")
        patch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
        log_one(0, wait=True)
    log_one(1).result(60)
    (left,) = spool.waiting()
    assert left.tracking_uri == "http://elsewhere"
    assert deliverer.deliverer(tracking_uri()).has_outage() is False
