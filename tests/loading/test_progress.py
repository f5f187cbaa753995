"""A long download on a terminal shows how far it is."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from tests.saving.test_progress import shown_while
from tracker.loading import progress


class Coming:
    """Eight megabytes, of which two are there, until it is over."""

    size = 8_000_000

    def __init__(self, seconds: float) -> None:
        self.over = threading.Event()
        threading.Timer(seconds, self.over.set).start()

    def wait(self, seconds: float) -> bool:
        return self.over.wait(seconds)

    def arrived(self) -> int:
        return 2_000_000


def test_the_bytes_that_arrived_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.progress._QUIET_SECONDS", 0.05)
    shown = shown_while(lambda: progress.wait(Coming(0.4), "epoch-6"), monkeypatch)
    assert "fetching epoch-6" in shown
    assert "2.0/8.0 MB" in shown


def test_a_short_wait_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_while(lambda: progress.wait(Coming(0.01), "epoch-6"), monkeypatch) == ""


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.progress._QUIET_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.wait(Coming(0.1), "epoch-6")
    assert sys.stderr.getvalue() == ""
