"""The background writer: one thread that saves checkpoints in the order they were handed over.

One, because checkpoints of a run have to appear in their order, and because disk and network are
shared anyhow. How much may wait for it is bounded: memory is the training's, too.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tracker.saving.ticket import Ticket
from tracker.types import CheckpointRecord

MAX_CHECKPOINTS = 8
"""How many checkpoints may be in flight."""

MAX_BYTES = 512 << 20
"""How many bytes may be in flight; a larger checkpoint is accepted when it is the only one."""

Then = Callable[[], None]
"""Hands a checkpoint on to who will tell its ticket; called when its memory is free."""

Save = Callable[[], CheckpointRecord | Then]

_log = logging.getLogger("tracker.saving")


@dataclass(slots=True, eq=False)
class Job:
    """One checkpoint on its way through the writer.

    Attributes:
        ticket: Learns what became of it.
        size: Bytes of memory that it holds.
        save: Saves it; called in the background.
        resources: Closed when it does not need them any more, whatever happened.
        taken: Whether the writer has begun, so that it can't be withdrawn any more.
    """

    ticket: Ticket
    size: int
    save: Save | None = None
    resources: ExitStack = field(default_factory=ExitStack)
    taken: bool = False


class Writer:
    """The thread, started with the first job, and what waits for it.

    A Ctrl-C may come between any two steps of the thread that hands over. Whatever it has done by
    then, `withdraw` undoes it or says that it is too late.
    """

    def __init__(self) -> None:
        # Reentrant, because a signal handler may come in the middle, in the same thread.
        self._changed = threading.Condition(threading.RLock())
        self._in_flight: dict[Job, int] = {}
        self._queue: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._has_said_that_it_waits = False

    def reserve(self, job: Job) -> None:
        """Wait until a job's memory may be in flight too."""
        with self._changed:
            if not self._has_room(job.size):
                self._say_that_it_waits()
                self._changed.wait_for(lambda: self._has_room(job.size))
            self._in_flight[job] = job.size

    def submit(self, job: Job, save: Save) -> None:
        """Hand over a job that was reserved, and how it is saved."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
                self._thread.start()
            job.save = save
            self._queue.append(job)
            self._changed.notify_all()

    def withdraw(self, job: Job) -> bool:
        """Take a job back, reserved or submitted or neither; return False if it has begun."""
        with self._changed:
            if job.taken:
                return False
            if job in self._queue:
                self._queue.remove(job)
            self._forget(job)
        job.resources.close()
        return True

    def _has_room(self, size: int) -> bool:
        fits = sum(self._in_flight.values()) + size <= MAX_BYTES
        return not self._in_flight or (fits and len(self._in_flight) < MAX_CHECKPOINTS)

    def _say_that_it_waits(self) -> None:
        if not self._has_said_that_it_waits:
            self._has_said_that_it_waits = True
            _log.warning(
                "log_checkpoint waits, because %d checkpoint(s) of %.0f MB are still being "
                "written: they are logged faster than they can be stored. Said once.",
                len(self._in_flight),
                sum(self._in_flight.values()) / 1e6,
            )

    def _run(self) -> None:
        while True:
            self._do(self._next())

    def _next(self) -> Job:
        with self._changed:
            self._changed.wait_for(lambda: self._queue)
            job = self._queue.popleft()
            job.taken = True
            return job

    def _do(self, job: Job) -> None:
        saved, error = _outcome(job)
        if error is not None:
            _clear_frames(error)
        job.save = None
        job.resources.close()
        # Before the ticket is done, so that whoever waited for it finds room for the next.
        with self._changed:
            self._forget(job)
        if error is not None:
            job.ticket.fail(error)
        elif isinstance(saved, CheckpointRecord):
            job.ticket.succeed(saved)
        elif saved is not None:
            saved()

    def _forget(self, job: Job) -> None:
        self._in_flight.pop(job, None)
        self._changed.notify_all()


def _outcome(job: Job) -> tuple[CheckpointRecord | Then | None, BaseException | None]:
    try:
        return (job.save() if job.save else None), None
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that trains
        return None, error


def _clear_frames(error: BaseException | None) -> None:
    """Let an error, which may live long, not keep the tensors that its frames refer to."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


_writer = Writer()


def writer() -> Writer:
    """Return the writer of this process."""
    return _writer


def _after_fork() -> None:
    """The thread stayed in the parent, and so do its jobs."""
    global _writer
    _writer = Writer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
