"""No fork falls into a transaction of another thread."""

from __future__ import annotations

import os
import threading

import pytest

from tracker import forks
from tracker.forks import kept_out


def fork() -> int:
    """Fork; return the status of a child that could enter and leave a transaction itself."""
    child = os.fork()
    if child == 0:
        with kept_out():
            os._exit(0 if len(forks._inside) == 1 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_the_transactions_of_other_threads() -> None:
    entered, order = threading.Event(), []

    def transaction() -> None:
        with kept_out():
            entered.set()
            leave.wait()
            order.append("transaction")

    leave = threading.Event()
    thread = threading.Thread(target=transaction)
    thread.start()
    entered.wait()
    threading.Timer(0.1, leave.set).start()
    assert fork() == 0
    order.append("fork")
    thread.join()
    assert order == ["transaction", "fork"]


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_LONGEST_WAIT", 0.05)
    entered, leave = threading.Event(), threading.Event()

    def transaction() -> None:
        with kept_out():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=transaction)
    thread.start()
    entered.wait()
    assert fork() == 0
    leave.set()
    thread.join()


def test_a_thread_may_fork_in_a_transaction_of_its_own() -> None:
    with kept_out(), kept_out():
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert not forks._inside


def test_nothing_is_left_of_a_transaction_that_failed() -> None:
    with pytest.raises(ValueError, match="no"), kept_out():
        raise ValueError("no")
    assert not forks._inside
