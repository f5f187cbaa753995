"""A long wait on a terminal shows how far the checkpoints are."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.catalog.examples import record
from tracker.saving import progress
from tracker.saving.ticket import Ticket


def shown_while(waiting: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a terminal shows that is standard error meanwhile."""
    controller, device = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(until_closed(controller)))
    reader.start()
    with monkeypatch.context() as patch, open(device, "w") as error:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stderr", error)
        waiting()
    reader.join()
    os.close(controller)
    return b"".join(shown).decode()


def until_closed(controller: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # Linux says EIO when the last writer is gone
        while data := os.read(controller, 1 << 16):
            yield data


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.progress._QUIET_SECONDS", 0.05)


def test_the_bytes_that_are_sent_are_shown(monkeypatch):
    ticket = Ticket("epoch-6", "r", 8_000_000)
    ticket.add_sent(2_000_000)
    threading.Timer(0.4, ticket.settle).start()
    shown = shown_while(lambda: progress.wait([ticket], None), monkeypatch)
    assert "saving epoch-6" in shown
    assert "2.0/8.0 MB" in shown


def test_several_are_counted(monkeypatch):
    both = [Ticket("epoch-1", "r"), Ticket("epoch-2", "r")]
    assert "saving 2 checkpoints" in shown_while(lambda: progress.wait(both, 0.3), monkeypatch)


def test_a_short_wait_shows_nothing(monkeypatch):
    ticket = Ticket("epoch-6", "r", 8)
    ticket.succeed(record(6))
    assert shown_while(lambda: progress.wait([ticket], None), monkeypatch) == ""


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.wait([Ticket("epoch-6", "r")], 0.2)
    assert sys.stderr.getvalue() == ""


def test_another_attempt_counts_from_the_first_file_again():
    ticket = Ticket("epoch-6", "r", 10)
    ticket.add_sent(7)
    ticket.begin_to_send()
    ticket.add_sent(6)
    assert ticket.sent == 6
    ticket.add_sent(6)  # the manifest, which is no tensor
    assert ticket.sent == 10
