"""Sends everything that waits in the spool, now: ``tracker sync``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker import settings
from tracker.errors import RecordUnreachableError, TrackerError
from tracker.record.boundary import check_reachable
from tracker.saving import spool
from tracker.saving.delivery import Sent, deliver, written_uri
from tracker.saving.spool import Delivery
from tracker.types import CheckpointRecord

Watch = Callable[[Delivery], Sent]
"""Called before a checkpoint is sent; what it returns is called with the bytes of each file."""

_log = logging.getLogger("tracker.saving")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a checkpoint in the spool.

    Attributes:
        directory: Where it waited, or waits still.
        name: Its name, or "" if even that can't be read.
        tracking_uri: Where it goes.
        checkpoint: The checkpoint in MLflow, or None if it is not there.
        error: Why not.
    """

    directory: Path | None
    name: str
    tracking_uri: str
    checkpoint: CheckpointRecord | None = None
    error: str | None = None


def sync(watch: Watch = lambda delivery: lambda size: None) -> list[Outcome]:
    """Send every checkpoint in the spool to the tracking store it was logged to, oldest first.

    What was refused before is tried again. What others are sending at this moment is waited for.

    Args:
        watch: Called before each.

    Raises:
        StorageError: The spool can't be read.
    """
    unreadable: list[TrackerError] = []
    spool.sweep()
    waiting = spool.waiting(unreadable.append)
    outcomes = [Outcome(None, "", "", error=str(error)) for error in unreadable]
    silent: dict[str, RecordUnreachableError] = {}
    in_other_hands: list[Delivery] = []
    for delivery in waiting:
        outcome = _send(delivery, silent, watch(delivery), wait=False)
        if outcome is None:
            in_other_hands.append(delivery)
        else:
            outcomes.append(outcome)
    later = (_send(delivery, silent, watch(delivery), wait=True) for delivery in in_other_hands)
    return [*outcomes, *(outcome for outcome in later if outcome is not None)]


def _send(
    delivery: Delivery, silent: dict[str, RecordUnreachableError], sent: Sent, *, wait: bool
) -> Outcome | None:
    """Send one checkpoint, or return None if others are at it and it is not to be waited for.

    ``silent`` are the stores that did not answer: they are not asked again for each checkpoint.
    """
    uri = _with_password(delivery.tracking_uri)
    where, name = delivery.directory, delivery.name
    try:
        if uri in silent:
            raise silent[uri]
        check_reachable(uri)
        record = deliver(delivery, uri, warn=_log.warning, sent=sent, wait=wait)
    except RecordUnreachableError as error:
        silent[uri] = error
        return Outcome(where, name, delivery.tracking_uri, error=str(error))
    except (TrackerError, OSError) as error:
        return Outcome(where, name, delivery.tracking_uri, error=_with_notes(error))
    return None if record is None else Outcome(where, name, delivery.tracking_uri, record)


def _with_password(tracking_uri: str) -> str:
    """Return the tracking URI in force, which may hold a password, if it means the same store."""
    in_force = settings.tracking_uri()
    return in_force if written_uri(in_force) == tracking_uri else tracking_uri


def _with_notes(error: BaseException) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", [])])
