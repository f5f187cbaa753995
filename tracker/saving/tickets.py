"""What became of all checkpoints that this process handed over.

What fails or deserves a look in the background is told to whoever asks for
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

from tracker.errors import TrackerError, TrackerWarning
from tracker.saving import progress
from tracker.saving.ticket import Ticket

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
    progress.wait(waiting, timeout)
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
            ticket.belongs_to_parent()
    for of_parent in (_open, _left, _notices):
        of_parent.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
