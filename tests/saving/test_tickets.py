"""What became of a checkpoint is told once, and never not at all."""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Iterator

import pytest

from tests.catalog.examples import record
from tracker.errors import RecordError, StorageError, TrackerError, TrackerWarning
from tracker.saving import tickets
from tracker.saving.ticket import Ticket


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    assert tickets.last_words() == []
    yield
    tickets.last_words()


def issued(name: str = "epoch-1", run_id: str = "0a1b") -> Ticket:
    ticket = Ticket(name, run_id)
    tickets.issue(ticket)
    return ticket


def failed(error: BaseException, name: str = "epoch-1", run_id: str = "0a1b") -> Ticket:
    ticket = issued(name, run_id)
    ticket.fail(error)
    return ticket


def test_an_error_that_nobody_asked_for_is_raised_once() -> None:
    failed(StorageError("disk full"))
    with pytest.raises(StorageError, match="disk full") as caught:
        tickets.tell()
    assert "This is about the checkpoint epoch-1 of run 0a1b" in "".join(caught.value.__notes__)
    tickets.tell()
    assert tickets.last_words() == []


def test_one_error_names_the_others() -> None:
    failed(StorageError("disk full"), "epoch-1")
    failed(RecordError("no answer"), "epoch-2")
    with pytest.raises(StorageError) as caught:
        tickets.tell()
    notes = "".join(caught.value.__notes__)
    assert "checkpoint epoch-2 of run 0a1b failed too: RecordError: no answer" in notes
    tickets.tell()


@pytest.mark.parametrize("ask", [Ticket.result, Ticket.exception])
def test_an_error_that_was_asked_for_is_not_raised_again(ask: object) -> None:
    ticket = failed(StorageError("disk full"))
    with contextlib.suppress(StorageError):
        ask(ticket)  # type: ignore[operator]
    tickets.tell()
    with pytest.raises(StorageError):
        ticket.result()


def test_what_is_not_done_is_not_told_and_not_forgotten() -> None:
    ticket = issued()
    tickets.tell()
    ticket.fail(StorageError("disk full"))
    with pytest.raises(StorageError):
        tickets.tell()


def test_a_run_is_told_of_its_own_checkpoints_only() -> None:
    failed(StorageError("disk full"), run_id="another")
    tickets.tell(run_id="0a1b")
    with pytest.raises(StorageError):
        tickets.tell(run_id="another")


def test_warnings_come_where_the_checkpoint_is_asked_for() -> None:
    ticket = issued()
    ticket.warn("replaced")
    ticket.succeed(record(1))
    with pytest.warns(TrackerWarning, match="replaced") as caught:
        assert ticket.result() == record(1)
    assert caught[0].filename == __file__
    tickets.tell()


def test_warnings_that_nobody_asked_for_come_with_the_next_call() -> None:
    ticket = issued()
    ticket.warn("replaced")
    ticket.succeed(record(1))
    with pytest.warns(TrackerWarning, match="replaced") as caught:
        tickets.tell()
    assert caught[0].filename == __file__
    assert tickets.last_words() == []


@pytest.mark.filterwarnings("error::tracker.errors.TrackerWarning")
def test_a_warning_made_an_error_leaves_what_is_after_it_for_the_next_call() -> None:
    ticket = issued()
    ticket.warn("first")
    ticket.succeed(record(1))
    failed(StorageError("disk full"))
    with pytest.raises(TrackerWarning, match="first"):
        tickets.tell()
    with pytest.raises(StorageError, match="disk full"):
        tickets.tell()


def test_flushing_waits_and_tells() -> None:
    ticket = issued()
    threading.Timer(0.1, ticket.fail, [StorageError("disk full")]).start()
    with pytest.raises(StorageError, match="disk full"):
        tickets.flush(timeout=10)
    tickets.flush(timeout=0)


def test_flushing_in_vain_names_what_is_late() -> None:
    ticket = issued("epoch-7")
    with pytest.raises(
        TimeoutError, match=r"^1 checkpoint is not saved .*: epoch-7 of run 0a1b\. "
    ):
        tickets.flush(timeout=0)
    ticket.succeed(record(7))
    tickets.flush(timeout=0)


def test_waiting_raises_nothing_and_returns_what_is_late() -> None:
    failed(StorageError("disk full"))
    late = issued()
    assert tickets.wait(timeout=0) == [late]
    assert tickets.wait(timeout=0, run_id="another") == []
    with pytest.raises(StorageError):
        tickets.tell()


def test_what_was_taken_back_is_not_waited_for() -> None:
    ticket = issued()
    tickets.withdraw(ticket)
    tickets.withdraw(ticket)
    tickets.flush(timeout=0)


def test_one_that_is_refused_is_told_to_who_asks_for_it_only() -> None:
    ticket = tickets.refused("epoch-1", TrackerError("rank 0 alone writes"))
    tickets.flush(timeout=0)
    assert ticket.done()
    with pytest.raises(TrackerError, match="rank 0"):
        ticket.result()


def test_the_last_words_are_errors_with_their_notes_warnings_and_what_is_late() -> None:
    error = StorageError("disk full")
    error.add_note("try again")
    failed(error)
    warned = issued("epoch-2")
    warned.warn("replaced")
    warned.succeed(record(2))
    issued("epoch-3")
    assert tickets.last_words() == [
        "The checkpoint epoch-1 of run 0a1b was not saved: StorageError: disk full",
        "try again",
        "replaced",
        "1 checkpoint is not saved: epoch-3 of run 0a1b.",
    ]
    assert tickets.last_words() == []


def test_an_error_shows_where_it_happened_in_the_background() -> None:
    ticket = issued()

    def disk_is_full() -> None:
        raise StorageError("disk full")

    try:
        disk_is_full()
    except StorageError as error:
        ticket.fail(error)
    with pytest.raises(StorageError) as caught:
        tickets.tell()
    assert "disk_is_full" in "".join(traceback.format_tb(caught.value.__traceback__))
