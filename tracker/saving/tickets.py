"""Tickets: what became of every checkpoint that this process handed over.

Each has its future. What fails or deserves a look in the background is told to whoever asks for
that checkpoint, else at the next `log_checkpoint`, `flush` or end of a run, else when the
interpreter exits: once, and never not at all.

While MLflow can't be reached, a checkpoint that waits in the spool is settled, though not done:
only who asks for it by its own ticket waits on.

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
from pathlib import Path

from tracker.errors import TrackerError, TrackerWarning
from tracker.types import CheckpointRecord


class Ticket:
    """One checkpoint that was handed over.

    Attributes:
        name: The checkpoint's name, ``epoch-6``.
        run_id: The run that it belongs to.
        spooled: Where in the spool it waits until MLflow has it, if it does.
    """

    def __init__(self, name: str, run_id: str) -> None:
        self.name = name
        self.run_id = run_id
        self.spooled: Path | None = None
        self._future: Future[CheckpointRecord] = Future()
        self._settled: Future[None] = Future()
        self._warnings: list[str] = []
        self._told = False

    def __str__(self) -> str:
        return f"checkpoint {self.name} of run {self.run_id}"

    def warn(self, message: str) -> None:
        """Keep a warning for the thread that asks; it has to come before `succeed`."""
        self._warnings.append(message)

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

    def _belongs_to_parent(self, process: int) -> None:
        # Not the old futures: a thread that does not exist in this process may hold their locks.
        self._future, self._settled, self.spooled = Future(), Future(), None
        self.fail(
            TrackerError(
                f"The {self} was handed over in process {process}, of which this one is a fork: "
                "wait for it there."
            )
        )


_MOST_LISTED = 5

_lock = threading.RLock()  # a signal handler may come in the middle, in the same thread
_open: list[Ticket] = []
"""Those that are not done, or that nobody was told of; in the order they were handed over."""

_notices: list[str] = []
"""What deserves a look and belongs to no single checkpoint."""

_left: list[Ticket] = []
"""Those that stay in the spool until somebody sends them."""


def issue(ticket: Ticket) -> None:
    """Count a checkpoint that is being handed over among those to wait for, and to tell of."""
    with _lock:
        _open.append(ticket)


def notice(message: str) -> None:
    """Keep a warning for the next `tell`; the end of the process is the last to tell it."""
    with _lock:
        _notices.append(message)


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
    """Return what is worth waiting for, of one run or of all."""
    with _lock:
        return [ticket for ticket in _of(run_id) if not ticket.settled()]


def wait(timeout: float | None = None, *, run_id: str | None = None) -> list[Ticket]:
    """Wait for everything that was handed over until now; return what is still not settled.

    Nothing is raised or warned of: another's failure is no matter of a query.
    """
    waiting = unfinished(run_id)
    wait_for_futures([ticket._settled for ticket in waiting], timeout)
    return [ticket for ticket in waiting if not ticket.settled()]


def flush(timeout: float | None = None, *, run_id: str | None = None, stacklevel: int = 1) -> None:
    """Wait for everything that was handed over until now, then `tell` what became of it.

    Warns if something waits in the spool, because MLflow can't be reached.

    Raises:
        TimeoutError: Something is not done; it goes on.
    """
    started = time.monotonic()
    late = wait(timeout, run_id=run_id)
    tell(run_id=run_id, stacklevel=stacklevel + 1)
    kept = [ticket for ticket in _of(run_id) if ticket.settled() and not ticket.done()]
    if kept:
        warnings.warn(_kept(kept), TrackerWarning, stacklevel=stacklevel + 1)
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
        while _notices:
            warnings.warn(_notices.pop(0), TrackerWarning, stacklevel=stacklevel + 1)
        for ticket in [ticket for ticket in _of(run_id) if ticket.done()]:
            ticket.give_warnings(stacklevel=stacklevel + 1)
            _, error = ticket.untold()
            if error is not None:
                errors.append((ticket, error))
            elif ticket.spooled is not None:
                _left.append(ticket)
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
        words += _notices
        for ticket in _open:
            warned, error = ticket.untold()
            words += warned
            if error is not None:
                words.append(f"The {ticket} was not saved: {type(error).__name__}: {error}")
                words += getattr(error, "__notes__", [])
            elif ticket.spooled is not None:
                _left.append(ticket)
        late = [t for t in _open if not t.done() and t.spooled is None]
        # `tracker sync` may have sent some in the meantime.
        kept = [t for t in _left if t.spooled is not None and t.spooled.exists()]
        for told in (_open, _left, _notices):
            told.clear()
    if kept:
        words.append(_kept(kept))
    if late:
        words.append(f"{_counted(late)} not saved: {_listed(late)}.")
    return words


def _kept(kept: list[Ticket]) -> str:
    spool = next(ticket.spooled.parent for ticket in kept if ticket.spooled is not None)
    return (
        f"{_counted(kept)} not in MLflow yet, but kept in {spool}: {_listed(kept)}. "
        "`tracker sync` sends what is there."
    )


def _of(run_id: str | None) -> list[Ticket]:
    return [ticket for ticket in _open if run_id is None or ticket.run_id == run_id]


def _counted(late: Iterable[Ticket]) -> str:
    count = len(list(late))
    return "1 checkpoint is" if count == 1 else f"{count} checkpoints are"


def _listed(late: Iterable[Ticket]) -> str:
    named = [f"{ticket.name} of run {ticket.run_id}" for ticket in late]
    more = f" and {len(named) - _MOST_LISTED} more" if len(named) > _MOST_LISTED else ""
    return ", ".join(named[:_MOST_LISTED]) + more


def _after_fork() -> None:
    """A forked child has none of the parent's checkpoints, and may hand over its own."""
    global _lock
    _lock = threading.RLock()
    for ticket in _open:
        if not ticket.done():
            ticket._belongs_to_parent(os.getppid())
    for of_parent in (_open, _left, _notices):
        of_parent.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
