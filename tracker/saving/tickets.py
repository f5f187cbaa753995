"""Tickets: what became of every checkpoint that this process handed over.

Each has its future. What fails or deserves a look in the background is told to whoever asks for
that checkpoint, else at the next `log_checkpoint`, `flush` or end of a run, else when the
interpreter exits: once, and never not at all.

Nothing here needs torch or MLflow, so that a query can ask whether there is something to wait for.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures

from tracker.errors import TrackerError, TrackerWarning
from tracker.types import CheckpointRecord


class Ticket:
    """One checkpoint that was handed over.

    Attributes:
        name: The checkpoint's name, ``epoch-6``.
        run_id: The run that it belongs to.
    """

    def __init__(self, name: str, run_id: str) -> None:
        self.name = name
        self.run_id = run_id
        self._future: Future[CheckpointRecord] = Future()
        self._warnings: list[str] = []
        self._told = False

    def __str__(self) -> str:
        return f"checkpoint {self.name} of run {self.run_id}"

    def warn(self, message: str) -> None:
        """Keep a warning for the thread that asks; it has to come before `succeed`."""
        self._warnings.append(message)

    def succeed(self, record: CheckpointRecord) -> None:
        """Say that the checkpoint is durable."""
        self._future.set_result(record)

    def fail(self, error: BaseException) -> None:
        """Say that it could not be saved."""
        self._future.set_exception(error)

    def done(self) -> bool:
        """Return whether it is saved, or failed."""
        return self._future.done()

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

    def _belongs_to_parent(self, process: int) -> None:
        # Not the old future: a thread that does not exist in this process may hold its lock.
        self._future = Future()
        self.fail(
            TrackerError(
                f"The {self} was handed over in process {process}, of which this one is a fork: "
                "wait for it there."
            )
        )


_lock = threading.RLock()  # a signal handler may come in the middle, in the same thread
_open: list[Ticket] = []
"""Those that are not done, or that nobody was told of; in the order they were handed over."""


def issue(ticket: Ticket) -> None:
    """Count a checkpoint that is being handed over among those to wait for, and to tell of."""
    with _lock:
        _open.append(ticket)


def withdraw(ticket: Ticket) -> None:
    """Forget a ticket whose checkpoint was not handed over after all."""
    with _lock:
        if ticket in _open:
            _open.remove(ticket)


def refused(name: str, error: TrackerError) -> Ticket:
    """Return the ticket of a checkpoint that is not saved, as only who asks for it is told."""
    ticket = Ticket(name, "")
    ticket.fail(error)
    return ticket


def unfinished(run_id: str | None = None) -> list[Ticket]:
    """Return what is not done yet, of one run or of all."""
    with _lock:
        return [ticket for ticket in _of(run_id) if not ticket.done()]


def wait(timeout: float | None = None, *, run_id: str | None = None) -> list[Ticket]:
    """Wait for everything that was handed over until now; return what is still not done.

    Nothing is raised or warned of: another's failure is no matter of a query.
    """
    waiting = unfinished(run_id)
    wait_for_futures([ticket._future for ticket in waiting], timeout)
    return [ticket for ticket in waiting if not ticket.done()]


def flush(timeout: float | None = None, *, run_id: str | None = None, stacklevel: int = 1) -> None:
    """Wait for everything that was handed over until now, then `tell` what became of it.

    Raises:
        TimeoutError: Something is not done; it goes on.
    """
    started = time.monotonic()
    late = wait(timeout, run_id=run_id)
    tell(run_id=run_id, stacklevel=stacklevel + 1)
    if late:
        raise TimeoutError(
            f"{_counted(late)} not saved yet after {time.monotonic() - started:.1f} seconds: "
            f"{_listed(late)}. Saving goes on."
        )


def tell(*, run_id: str | None = None, stacklevel: int = 1) -> None:
    """Warn of, and raise, what nobody was told of yet; the first error names the others.

    Raises:
        BaseException: What saving a checkpoint ended with.
    """
    errors: list[tuple[Ticket, BaseException]] = []
    with _lock:
        for ticket in [ticket for ticket in _of(run_id) if ticket.done()]:
            ticket.give_warnings(stacklevel=stacklevel + 1)
            _, error = ticket.untold()
            if error is not None:
                errors.append((ticket, error))
            _open.remove(ticket)
    if errors:
        (first, error), others = errors[0], errors[1:]
        error.add_note(
            f"This is about the {first}, which an earlier call handed over. What was handed over "
            "since, by this call too, is being saved all the same."
        )
        for ticket, other in others:
            error.add_note(f"The {ticket} failed too: {type(other).__name__}: {other}")
        raise error


def last_words() -> list[str]:
    """Return, for the end of the process, what nobody was told of, and what is not done."""
    words: list[str] = []
    with _lock:
        for ticket in _open:
            warned, error = ticket.untold()
            words += warned
            if error is not None:
                words.append(f"The {ticket} was not saved: {type(error).__name__}: {error}")
                words += getattr(error, "__notes__", [])
        late = unfinished()
        _open.clear()
    if late:
        words.append(f"{_counted(late)} not saved: {_listed(late)}.")
    return words


def _of(run_id: str | None) -> list[Ticket]:
    return [ticket for ticket in _open if run_id is None or ticket.run_id == run_id]


def _counted(late: Iterable[Ticket]) -> str:
    count = len(list(late))
    return "1 checkpoint is" if count == 1 else f"{count} checkpoints are"


def _listed(late: Iterable[Ticket]) -> str:
    return ", ".join(f"{ticket.name} of run {ticket.run_id}" for ticket in late)


def _after_fork() -> None:
    """A forked child has none of the parent's checkpoints, and may hand over its own."""
    global _lock
    _lock = threading.RLock()
    for ticket in _open:
        if not ticket.done():
            ticket._belongs_to_parent(os.getppid())
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
