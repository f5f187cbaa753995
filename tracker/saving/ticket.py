"""A ticket: what became of one checkpoint that this process handed over, for who asks for it.

Nothing here needs torch or MLflow, so that a query can ask whether there is something to wait for.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from pathlib import Path

from tracker.errors import TrackerError, TrackerWarning
from tracker.types import CheckpointRecord

_lock = threading.RLock()  # a signal handler may come in the middle, in the same thread


class Ticket:
    """One checkpoint that was handed over.

    Attributes:
        name: The checkpoint's name, ``epoch-6``.
        run_id: The run that it belongs to.
        size: Bytes of its tensors.
        spooled: Where in the spool it waits until MLflow has it, if it does.
    """

    def __init__(self, name: str, run_id: str, size: int = 0) -> None:
        self.name = name
        self.run_id = run_id
        self.size = size
        self.spooled: Path | None = None
        self._future: Future[CheckpointRecord] = Future()
        self._settled: Future[None] = Future()
        self._sent = 0
        self._warnings: list[str] = []
        self._told = False

    def __str__(self) -> str:
        return f"checkpoint {self.name} of run {self.run_id}"

    def warn(self, message: str) -> None:
        """Keep a warning for the thread that asks; it has to come before `succeed`."""
        self._warnings.append(message)

    def begin_to_send(self) -> None:
        """Say that its files are sent, from the first on; an earlier attempt does not count."""
        with _lock:
            self._sent = 0

    def add_sent(self, size: int) -> None:
        """Say that a file of it is where it belongs, of so many bytes."""
        with _lock:
            self._sent += size

    @property
    def sent(self) -> int:
        """Bytes that are where they belong, as far as that is known; never more than `size`."""
        return self.size if self.done() else min(self._sent, self.size)

    def succeed(self, record: CheckpointRecord) -> None:
        """Say that the checkpoint is durable."""
        self.spooled = None
        self._future.set_result(record)
        self.settle()

    def fail(self, error: BaseException) -> None:
        """Say that it could not be saved."""
        self._future.set_exception(error)
        self.settle()

    def stay(self, error: BaseException) -> None:
        """Say that it stays in the spool, as was wished; only who asks for it gets the error."""
        self._told = True
        self.fail(error)

    def when_done(self, do: Callable[[CheckpointRecord | None], object]) -> None:
        """Call ``do`` with the record, or None if it failed, in the thread that knows first.

        That is at once, if it is done.
        """

        def call(future: Future[CheckpointRecord]) -> None:
            do(None if future.exception() is not None else future.result())

        self._future.add_done_callback(call)

    def settle(self) -> None:
        """Say that nobody needs to wait for it: it is done, or safe in the spool for now."""
        with _lock:
            if not self._settled.done():
                self._settled.set_result(None)

    def unsettle(self) -> None:
        """Say that it is worth waiting for again, unless it is done."""
        with _lock:
            if self._settled.done() and not self.done():
                self._settled = Future()

    def done(self) -> bool:
        """Return whether it is saved, or failed."""
        return self._future.done()

    def settled(self) -> bool:
        """Return whether it is done, or safe in the spool while MLflow can't be reached."""
        return self._settled.done()

    def wait_until_durable(self, *, stacklevel: int = 1) -> None:
        """Wait until it is saved, or safe in the spool while MLflow can't be reached.

        Raises:
            BaseException: What saving ended with.
        """
        self._settled.result()
        if self.done() and not self._told:
            self.result(stacklevel=stacklevel + 1)

    def result(self, timeout: float | None = None, *, stacklevel: int = 1) -> CheckpointRecord:
        """Wait and return the record, or raise what saving ended with.

        Raises:
            TimeoutError: It is not saved yet.
        """
        error = self.exception(timeout, stacklevel=stacklevel + 1)
        if error is not None:
            raise error
        return self._future.result()

    def exception(
        self, timeout: float | None = None, *, stacklevel: int = 1
    ) -> BaseException | None:
        """Wait and return what saving ended with, or None; from now on that counts as told.

        Raises:
            TimeoutError: It is not saved yet.
        """
        try:
            error = self._future.exception(timeout)
        except TimeoutError:
            raise TimeoutError(f"The {self} is not saved yet after {timeout} seconds.") from None
        self._told = True
        self.give_warnings(stacklevel=stacklevel + 1)
        return error

    def give_warnings(self, *, stacklevel: int) -> None:
        """Warn of what deserves a look, once."""
        while self._warnings:
            warnings.warn(self._warnings.pop(0), TrackerWarning, stacklevel=stacklevel + 1)

    def untold(self) -> tuple[list[str], BaseException | None]:
        """Return the warnings and the error that nobody was told of; from now on they are told."""
        error = None if self._told or not self.done() else self._future.exception()
        told, self._warnings, self._told = self._warnings, [], self.done()
        return told, error

    def belongs_to_parent(self) -> None:
        """Say, in a forked child, that only the parent can tell."""
        # Not the old futures: a thread that does not exist in this process may hold their locks.
        self._future, self._settled, self.spooled = Future(), Future(), None
        self.fail(
            TrackerError(
                f"The {self} was handed over in process {os.getppid()}, of which this one is a "
                "fork: wait for it there."
            )
        )


def wait_until_settled(waiting: Iterable[Ticket], timeout: float | None) -> None:
    """Wait until every ticket is settled, or the time is over."""
    wait_for_futures([ticket._settled for ticket in waiting], timeout)


def _after_fork() -> None:
    """A thread that stayed in the parent may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
