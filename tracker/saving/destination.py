"""Which run a checkpoint goes to, and by which way, also while MLflow can't be asked."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from tracker import catalog, settings
from tracker.errors import RecordUnreachableError
from tracker.record import artifacts, runs, sessions
from tracker.record.boundary import check_reachable, connect
from tracker.record.sessions import Session

_log = logging.getLogger("tracker.saving")

_sessions: dict[str, Session] = {}
"""By tracking URI: once a training has begun without a run, it stays with the one to be made."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a checkpoint goes.

    Attributes:
        tracking_uri: The tracking store that was in force when it was handed over.
        run: Its run, or None if MLflow could not be asked about it.
        run_id: The run's id, or None if it is yet to be made.
        session: What it will be made of then.
        offline: Whether the checkpoint stays in the spool until somebody sends it.
    """

    tracking_uri: str
    run: runs.Run | None
    run_id: str | None
    session: Session | None = None
    offline: bool = False

    @property
    def label(self) -> str:
        """The run's id, or what stands for it until it has one."""
        return self.run_id or (self.session.id if self.session else "")

    @property
    def is_direct(self) -> bool:
        """Whether the checkpoint is written where it stays, without the network on its way."""
        return (
            self.run is not None
            and not self.offline
            and not catalog.is_server(self.tracking_uri)
            and artifacts.local_directory(self.run.artifact_location) is not None
        )


def find(tracking_uri: str, run_id: str | None) -> Destination:
    """Return where a checkpoint of this thread goes: the given run, the active one or a new one.

    It belongs into the thread that trains, because MLflow keeps an active run for each. The
    tracking store is asked only about a run that was not met before, and within seconds.

    Raises:
        InvalidArgumentError: The id is no text.
        NotFoundError: There is no run of that id.
        RecordError: The run was deleted, or MLflow refused.
    """
    runs.check_run_id(run_id)
    known_id = run_id or runs.active_run_id()
    if settings.offline():
        return _unasked(tracking_uri, known_id, offline=True)
    if known_id is None and tracking_uri in _sessions:
        return _unasked(tracking_uri, None)
    known = runs.known_run(tracking_uri, known_id)
    if known is not None:
        return Destination(tracking_uri, known, known.id)
    try:
        check_reachable(tracking_uri)
        run = runs.run_for_logging(connect(tracking_uri), run_id)
    except RecordUnreachableError as error:
        _log.debug("The run is found later: %s", error)
        return _unasked(tracking_uri, known_id)
    return Destination(tracking_uri, run, run.id)


def _unasked(tracking_uri: str, run_id: str | None, *, offline: bool = False) -> Destination:
    session = None if run_id else _sessions.setdefault(tracking_uri, sessions.begin())
    return Destination(tracking_uri, None, run_id, session, offline)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sessions.clear)
