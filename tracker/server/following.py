"""Keeps the service's catalog in step with MLflow, without being told to.

Before it answers, the service waits for an update that began after the request had arrived, so that
whoever has just logged a checkpoint finds it. Requests that wait at the same time wait for the same
update: thirty clients cost one. What updates can't see (logged models that were deleted, metrics
logged later) a reindex finds from time to time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tracker.errors import RecordUnreachableError, TrackerError

SECONDS_TO_WAIT = 10.0
"""How long a request waits for an update. The first one of a large MLflow server takes longer."""

SECONDS_BETWEEN_REINDEXES = 600.0
_TIMES_LONGER_IDLE = 20
"""A reindex is followed by a pause of at least so many times as long as it took."""

_log = logging.getLogger("tracker.server")


class Following:
    """Runs updates, one at a time, when somebody waits for one; and now and then a reindex."""

    def __init__(
        self,
        update: Callable[[], object],
        reindex: Callable[[], object],
        *,
        seconds_to_wait: float = SECONDS_TO_WAIT,
        seconds_between_reindexes: float = SECONDS_BETWEEN_REINDEXES,
    ) -> None:
        self._update = update
        self._reindex = reindex
        self._seconds_to_wait = seconds_to_wait
        self._seconds_between = seconds_between_reindexes
        self._changed = threading.Condition()
        self._begun = self._ended = self._wanted = 0
        self._error: TrackerError | None = None
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to follow: the first update starts at once."""
        with self._changed:
            self._wanted = 1
        for name, run in (("updates", self._run_updates), ("reindexes", self._run_reindexes)):
            thread = threading.Thread(target=run, name=f"tracker {name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Begin no more; what runs is left to its end, or to that of the process."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Return when an update that began after this call has ended.

        Raises:
            RecordUnreachableError: MLflow could not be reached, or it takes too long.
            TrackerError: The update failed.
        """
        with self._changed:
            mine = self._begun + 1
            self._wanted = max(self._wanted, mine)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._ended >= mine, self._seconds_to_wait):
                raise RecordUnreachableError(
                    "The catalog is being brought up to date with MLflow, which takes longer than "
                    f"{self._seconds_to_wait:.0f} seconds. Ask again in a minute."
                )
            error = self._error
        if error is not None:
            raise type(error)(str(error))  # one of its own for each thread that waited

    def _run_updates(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted > self._begun or self._stopped.is_set())
                if self._stopped.is_set():
                    return
                self._begun += 1
            error = _failure_of(self._update)
            _tell(error, self._error)
            with self._changed:
                self._error = error
                self._ended = self._begun
                self._changed.notify_all()

    def _run_reindexes(self) -> None:
        pause = self._seconds_between
        while not self._stopped.wait(pause):
            begun = time.monotonic()
            error = _failure_of(self._reindex)
            if error is not None:
                _log.warning("The catalog could not be made again from MLflow: %s", error)
            took = time.monotonic() - begun
            pause = max(self._seconds_between, _TIMES_LONGER_IDLE * took)


def _tell(error: TrackerError | None, before: TrackerError | None) -> None:
    """Log that the catalog can't follow, and that it can again; not each update that fails."""
    if error is not None and before is None:
        _log.warning(
            "The catalog can't follow MLflow, which is asked by the account of this service "
            "(MLFLOW_TRACKING_USERNAME), so nothing is shown: %s",
            error,
        )
    elif error is None and before is not None:
        _log.warning("The catalog follows MLflow again.")


def _failure_of(run: Callable[[], object]) -> TrackerError | None:
    try:
        run()
    except TrackerError as error:
        return error
    except Exception as error:  # noqa: BLE001 - logged
        # The thread has to live on: without it, no request would ever be answered again.
        _log.exception("The catalog could not be brought up to date")
        return TrackerError(f"The catalog could not be brought up to date: {type(error).__name__}.")
    return None
