"""The thread that brings what is in the spool to MLflow, and what it does in an outage.

One for each tracking store, beside the writer, which never waits for the network. It delivers what
this process hands over in its order, and in between what earlier processes have left. While MLflow
can't be reached it tries again, after pauses that grow. Nobody else has to wait then: the
checkpoints are safe, and the next process or `tracker sync` delivers them if this one ends before.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tenacity import Retrying, retry_if_exception_type, wait_exponential, wait_random

from tracker import settings
from tracker.errors import RecordUnreachableError, StorageError
from tracker.record.boundary import check_reachable
from tracker.saving import spool, tickets
from tracker.saving.delivery import deliver, written_uri
from tracker.saving.spool import Delivery
from tracker.saving.ticket import Ticket
from tracker.types import CheckpointRecord

FIRST_PAUSE, LONGEST_PAUSE = 1, 60
"""Seconds between attempts in an outage."""

_SECONDS_BETWEEN_LOOKS = 5
_LOOKS_IN_VAIN = 2
_ATTEMPTS_IN_VAIN = 5
"""How often a store that answers may fail as if it did not, before this one is left to `sync`."""

_log = logging.getLogger("tracker.saving")


@dataclass(slots=True, eq=False)
class Job:
    """A delivery of this process, or of an earlier one, which has no ticket any more."""

    delivery: Delivery
    ticket: Ticket | None = None


class Deliverer:
    """The thread for one tracking store, and what waits for it."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        # Reentrant, because a signal handler may come in the middle, in the same thread.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[Job] = deque()
        self._leftovers: deque[Job] = deque()
        self._current: Job | None = None
        self._outage = False
        self._times_seen = 0
        self._in_vain = 0
        self._hurry = False
        self._thread: threading.Thread | None = None

    def submit(self, delivery: Delivery, ticket: Ticket) -> None:
        """Hand over a checkpoint that is in the spool; the ticket learns what becomes of it."""
        with self._changed:
            self._queue.append(Job(delivery, ticket))
            if self._outage:
                ticket.settle()
            self._wake()

    def find_leftovers(self) -> None:
        """Take over what earlier processes have left for this store, and was not refused."""
        try:
            spool.sweep()
            waiting = spool.waiting()
        except StorageError as error:
            _log.warning("What earlier processes left can't be sent: %s", error)
            return
        own = written_uri(self._uri)
        left = [Job(d) for d in waiting if d.tracking_uri == own and not d.refused]
        if left:
            with self._changed:
                self._leftovers.extend(left)
                self._wake()

    def has_outage(self) -> bool:
        """Return whether the store could not be reached when it was last tried."""
        return self._outage

    def try_now(self, timeout: float) -> None:
        """In an outage, try again without a pause, and wait for how that goes."""
        with self._changed:
            seen, self._hurry = self._times_seen, True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._outage or self._times_seen > seen or not any(self._jobs()),
                timeout,
            )

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="tracker deliveries", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._current = None
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._leftovers)
                job = self._current = (self._queue or self._leftovers).popleft()
            self._bring(job)

    def _bring(self, job: Job) -> None:
        self._in_vain = 0
        persistently = Retrying(
            retry=retry_if_exception_type(RecordUnreachableError),
            stop=lambda _: self._in_vain >= _ATTEMPTS_IN_VAIN,
            wait=wait_exponential(FIRST_PAUSE, LONGEST_PAUSE) + wait_random(max=FIRST_PAUSE),
            sleep=self._pause,
            reraise=True,
        )
        try:
            record = persistently(self._attempt, job)
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that trains
            if not isinstance(error, RecordUnreachableError):
                self._answered()
            _tell_failure(job, error)
        else:
            self._answered()
            if job.ticket is not None and record is not None:
                job.ticket.succeed(record)

    def _attempt(self, job: Job) -> CheckpointRecord | None:
        try:
            check_reachable(self._uri)
            self._in_vain += 1
            with _watched(self._uri, self._unreachable):
                if job.ticket is None:
                    return deliver(job.delivery, self._uri, warn=_log.warning, wait=False)
                job.ticket.begin_to_send()
                return deliver(
                    job.delivery, self._uri, warn=job.ticket.warn, sent=job.ticket.add_sent
                )
        except RecordUnreachableError as error:
            self._unreachable(error)
            raise

    def _unreachable(self, error: RecordUnreachableError) -> None:
        with self._changed:
            begins, self._outage = not self._outage, True
            self._times_seen += 1
            for job in self._jobs():
                if job.ticket is not None:
                    job.ticket.settle()
            self._changed.notify_all()
        if begins:
            tickets.notice(
                f"{settings.display_uri(self._uri)} can't be reached, so checkpoints are kept in "
                f"{settings.spool_directory()} meanwhile. They are sent when it answers again, in "
                f"the end by `tracker sync`. ({error})"
            )

    def _answered(self) -> None:
        with self._changed:
            ends, self._outage = self._outage, False
            for job in self._jobs():
                if job.ticket is not None:
                    job.ticket.unsettle()
            self._changed.notify_all()
        if ends:
            _log.warning(
                "%s answers again; the checkpoints that were kept are being sent.",
                settings.display_uri(self._uri),
            )

    def _jobs(self) -> Iterator[Job]:
        if self._current is not None:
            yield self._current
        yield from self._queue

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._hurry, seconds)
            self._hurry = False


@contextmanager
def _watched(uri: str, gone: Callable[[RecordUnreachableError], None]) -> Iterator[None]:
    """Notice that a store is gone while MLflow's client is in the middle of a delivery.

    It would try again for minutes before it says so.
    """
    ended, lock = threading.Event(), threading.Lock()

    def look() -> None:
        in_vain = 0
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                check_reachable(uri)
                in_vain = 0
            except RecordUnreachableError as error:
                in_vain += 1
                with lock:
                    if in_vain == _LOOKS_IN_VAIN and not ended.is_set():
                        gone(error)

    threading.Thread(target=look, name="tracker outages", daemon=True).start()
    try:
        yield
    finally:
        with lock:  # what is seen now is told now, or not at all
            ended.set()


def _tell_failure(job: Job, error: Exception) -> None:
    if spool.still_waits(job.delivery):
        error.add_note(
            f"The checkpoint is kept in {job.delivery.directory}; `tracker sync` sends it when "
            "that is mended."
        )
    if job.ticket is not None:
        job.ticket.fail(error)
    else:
        _log.warning(
            "%s, which an earlier process left in the spool, was not sent: %s",
            job.delivery.name,
            "\n".join([str(error), *getattr(error, "__notes__", [])]),
        )


_lock = threading.Lock()
_deliverers: dict[str, Deliverer] = {}


def deliverer(tracking_uri: str) -> Deliverer:
    """Return the deliverer of this process for a tracking store.

    The first time it takes over what earlier processes have left for the store.
    """
    with _lock:
        known = _deliverers.get(tracking_uri)
        if known is None:
            known = _deliverers[tracking_uri] = Deliverer(tracking_uri)
            known.find_leftovers()
        return known


def try_all_now(timeout: float) -> None:
    """Try again where there is an outage; wait for each store no longer than ``timeout``."""
    for each in list(_deliverers.values()):
        if each.has_outage():
            each.try_now(timeout)


def _after_fork() -> None:
    """The threads stayed in the parent, and so do their deliveries."""
    global _lock
    _lock = threading.Lock()
    _deliverers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
