"""The background writer: the order of jobs, how many may wait, and taking one back."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from tests.catalog.examples import record
from tracker.errors import StorageError
from tracker.saving import writer as room
from tracker.saving.ticket import Ticket
from tracker.saving.writer import Job, Writer
from tracker.types import CheckpointRecord


@pytest.fixture
def writer() -> Writer:
    return Writer()


def saved() -> CheckpointRecord:
    return record(1)


def job(name: str = "epoch-1", size: int = 1) -> Job:
    return Job(Ticket(name, "run"), size)


def hand_over(writer: Writer, job: Job, save: Callable[[], CheckpointRecord]) -> Ticket:
    writer.reserve(job)
    writer.submit(job, save)
    return job.ticket


def in_a_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


class Disk:
    """A save that does not end before it is let."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()

    def save(self) -> CheckpointRecord:
        self.began.set()
        assert self.may_end.wait(30)
        return record(1)


def test_jobs_are_done_in_the_order_they_were_handed_over(writer: Writer) -> None:
    done: list[int] = []

    def save(number: int) -> CheckpointRecord:
        done.append(number)
        return record(1)

    tickets = [hand_over(writer, job(), partial(save, number)) for number in range(8)]
    for ticket in tickets:
        ticket.result(10)
    assert done == list(range(8))


def test_an_error_reaches_the_ticket_and_the_next_job_is_done(writer: Writer) -> None:
    def fail() -> CheckpointRecord:
        raise StorageError("disk full")

    failed = hand_over(writer, job(), fail)
    fine = hand_over(writer, job(), saved)
    with pytest.raises(StorageError, match="disk full"):
        failed.result(10)
    assert fine.result(10)


@pytest.mark.parametrize("ends_well", [True, False])
def test_memory_is_given_back_before_anybody_hears_of_the_end(
    writer: Writer, ends_well: bool
) -> None:
    given_back: list[bool] = []
    each = job()
    each.resources.callback(lambda: given_back.append(not each.ticket.done()))

    def save() -> CheckpointRecord:
        assert ends_well
        return record(1)

    hand_over(writer, each, save).exception(10)
    assert given_back == [True]


def test_the_error_of_a_checkpoint_does_not_keep_its_tensors(writer: Writer) -> None:
    class Tensors:
        pass

    def save(tensors: Tensors) -> CheckpointRecord:
        try:
            raise OSError("full")
        except OSError as error:
            raise StorageError("disk full") from error

    tensors = Tensors()
    gone = weakref.ref(tensors)
    ticket = hand_over(writer, job(), partial(save, tensors))
    del tensors
    assert isinstance(ticket.exception(10), StorageError)
    hand_over(writer, job(), saved).result(10)
    gc.collect()
    assert gone() is None


def test_past_the_number_in_flight_the_next_one_waits(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_CHECKPOINTS", 2)
    disk = Disk()
    first = hand_over(writer, job(), disk.save)
    hand_over(writer, job(), saved)
    waiting = in_a_thread(lambda: writer.reserve(job()))
    waiting.join(0.2)
    assert waiting.is_alive()
    disk.may_end.set()
    first.result(10)
    waiting.join(10)
    assert not waiting.is_alive()


def test_past_the_bytes_in_flight_the_next_one_waits_and_one_is_always_let_in(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 100)
    disk = Disk()
    hand_over(writer, job(size=1000), disk.save)
    waiting = in_a_thread(lambda: writer.reserve(job(size=1)))
    waiting.join(0.2)
    assert waiting.is_alive()
    disk.may_end.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_waiting_is_said_once(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "MAX_CHECKPOINTS", 1)
    for _ in range(2):
        disk = Disk()
        hand_over(writer, job(size=2_000_000), disk.save)
        disk.began.wait(10)
        waiting = in_a_thread(lambda: writer.withdraw(reserved(writer)))
        waiting.join(0.1)
        disk.may_end.set()
        waiting.join(10)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "tracker.saving"]
    assert message.startswith("log_checkpoint waits, because 1 checkpoint(s) of 2 MB")


def reserved(writer: Writer) -> Job:
    each = job()
    writer.reserve(each)
    return each


def test_a_job_that_waits_can_be_taken_back_and_its_room_is_free(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_CHECKPOINTS", 2)
    disk, done = Disk(), list[str]()
    first = hand_over(writer, job(), disk.save)
    disk.began.wait(10)
    second = job()
    second.resources.callback(lambda: done.append("given back"))
    hand_over(writer, second, lambda: pytest.fail("it was taken back"))
    assert writer.withdraw(second)
    assert done == ["given back"]
    third = hand_over(writer, job(), saved)
    disk.may_end.set()
    assert first.result(10)
    assert third.result(10)
    assert not second.ticket.done()


def test_a_job_that_has_begun_can_not_be_taken_back(writer: Writer) -> None:
    disk = Disk()
    each = job()
    hand_over(writer, each, disk.save)
    disk.began.wait(10)
    assert not writer.withdraw(each)
    disk.may_end.set()
    assert each.ticket.result(10)
    assert not writer.withdraw(each)


def test_taking_back_what_was_never_reserved_changes_nothing(writer: Writer) -> None:
    assert writer.withdraw(job())
    assert hand_over(writer, job(), saved).result(10)
