"""How the other processes take part in a checkpoint that rank 0 leads; see `leading`."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from tracker import errors
from tracker.distributed.agreement import Offer, duplicates_from_json, offer_to_json, without
from tracker.distributed.board import Patience, wait_for
from tracker.errors import DistributedError, StorageError, TrackerError
from tracker.format import Shard, write_shards
from tracker.format.shards import placed_to_json
from tracker.saving import spool
from tracker.saving.apart import send_part
from tracker.saving.leading import by_group
from tracker.saving.messages import (
    SEND,
    SETTLED,
    SPOOLED,
    Pulse,
    heard_key,
    offer_key,
    place_key,
    sent_key,
    written_key,
)
from tracker.saving.shares import Shared
from tracker.saving.snapshot import Snapshot
from tracker.saving.ticket import Ticket
from tracker.saving.turn import OUTCOME, Turn, failure
from tracker.saving.writer import Then
from tracker.types import CheckpointRecord, Json

_SECONDS_MORE = 5.0
"""What rank 0 is given beyond the time that it gives the others, so that it can say who is gone."""

_SECONDS_TO_BE_SEEN = 5.0
"""How long a folder may take to be seen on another machine of a shared file system."""


@dataclass(frozen=True, slots=True)
class Part:
    """What this process adds to a checkpoint.

    Attributes:
        turn: The checkpoint.
        offered: What it holds of tensors that are spread.
        shards: These, copied, by group.
        own: Whole tensors of its own, of the training state, by group and name.
        training: The training state that it has of its own, as typed JSON; may be None.
        tracking_uri: The tracking store, should this process have to send its files itself.
    """

    turn: Turn
    offered: Offer
    shards: Mapping[str, list[Shard]]
    own: Mapping[str, Mapping[str, Tensor]]
    training: Json
    tracking_uri: str


def part(turn: Turn, shared: Shared, copied: Snapshot, tracking_uri: str) -> Part:
    """Return what this process adds, from what it holds and the copy of that."""
    own = {"training": copied.training_tensors}
    return Part(turn, shared.offered, by_group(copied), own, copied.training, tracking_uri)


def follow(part: Part, ticket: Ticket) -> CheckpointRecord | Then:
    """Do what rank 0 says, until the memory of the copies is not needed any more.

    Returns:
        The record; or what waits for it, where the checkpoint is in the spool.

    Raises:
        DistributedError: Rank 0, or another process, failed or did not answer.
        TrackerError: What rank 0 ended with.
    """
    turn = part.turn
    turn.board.post(
        offer_key(turn.rank), {"offer": offer_to_json(part.offered), "training": part.training}
    )
    patience = Patience(turn.seconds + _SECONDS_MORE)
    attempt = 0
    with _own_places() as places:
        while True:
            key = _next_message(turn, attempt, patience)
            if key == SPOOLED or (key == OUTCOME and _is_quiet(turn)):
                return partial(_watch, turn, ticket)
            if key == OUTCOME:
                return _record(turn)
            message: Any = turn.board.read(key)
            if key == SEND:
                return _send(part, places, message)
            turn.board.post(written_key(attempt, turn.rank), _write(part, message, places))
            attempt += 1
            patience.renew()


@contextmanager
def _own_places() -> Iterator[list[Path]]:
    """Collect folders in this machine's spool; remove them when it is known what became of it."""
    places: list[Path] = []
    try:
        yield places
    finally:
        for place in places:
            spool.abandon(place)


def _send(part: Part, places: list[Path], model_id: str) -> CheckpointRecord:
    """Send what this process wrote on its own machine, if it did; wait for the outcome."""
    turn = part.turn
    if places:
        told = send_part(turn, part.tracking_uri, places[-1], model_id)
        turn.board.post(sent_key(turn.rank), told)
    pulse = Pulse(turn, 0, _SECONDS_MORE)
    if not wait_for(lambda: turn.board.has([OUTCOME]) or None, pulse.left):
        raise _no_answer(turn)
    return _record(turn)


def _next_message(turn: Turn, attempt: int, patience: Patience) -> str:
    """Return the key under which rank 0 says what comes next.

    Raises:
        DistributedError: It says nothing.
    """
    board = turn.board
    progress = [] if attempt == 0 else [written_key(attempt - 1, 0)]

    def look() -> str | None:
        for key in (place_key(attempt), OUTCOME, SPOOLED, SEND):
            if board.has([key]):
                return key
        if progress and board.has(progress):  # from now on it waits for the others
            progress.clear()
            patience.renew()
        return None

    found = wait_for(look, patience.left)
    if found is None:
        raise _no_answer(turn)
    return found


def _no_answer(turn: Turn) -> DistributedError:
    return DistributedError(
        f"Rank 0, which writes what belongs to all, did not answer within {turn.seconds:g} "
        "seconds (TRACKER_DISTRIBUTED_TIMEOUT). The model is spread over the processes: each "
        "must call log_checkpoint, and be alive until it is saved."
    )


def _write(part: Part, message: Mapping[str, Any], places: list[Path]) -> Json:
    """Write what this process holds; return what to tell rank 0.

    Args:
        part: What it holds.
        message: Where to, as rank 0 says.
        places: Is given the folder that is used instead, where this machine does not see that one.
    """
    directory, rank = Path(message["directory"]), part.turn.rank
    try:
        skip = duplicates_from_json(message["skip"].get(str(rank), []), "rank 0")
        seconds = min(_SECONDS_TO_BE_SEEN, part.turn.seconds / 4)
        apart = not _is_seen(directory, seconds, is_needed=not message["may_send"])
        if apart:
            directory = spool.new_directory()
            places.append(directory)
        written = write_shards(directory, rank, without(part.shards, skip), part.own)
        return {"placed": placed_to_json(written), "apart": apart}
    except Exception as error:  # noqa: BLE001 - rank 0 decides what follows, and tells all
        return {"error": failure(error)}


_unseen: set[Path] = set()
"""Spools of rank 0 that this machine does not see; to look longer for each checkpoint is vain."""


def _is_seen(directory: Path, seconds: float, *, is_needed: bool) -> bool:
    """Return whether this machine sees rank 0's folder, within some seconds.

    Raises:
        StorageError: It does not, and that is needed.
    """
    spool_there = directory.parent.parent
    until = time.monotonic() + (0 if spool_there in _unseen and not is_needed else seconds)
    if wait_for(lambda: directory.is_dir() or None, lambda: until - time.monotonic()):
        return True
    if is_needed:
        raise StorageError(
            f"{directory} is not on this machine ({platform.node()}): all processes must share "
            "the folder. Use an artifact store that they share, or an MLflow server that answers "
            "and keeps artifacts itself or in a remote store, or a TRACKER_SPOOL_DIR that they "
            "share."
        )
    _unseen.add(spool_there)
    return False


def _record(turn: Turn) -> CheckpointRecord:
    """Return what rank 0 says that became of the checkpoint.

    Raises:
        TrackerError: It failed.
    """
    outcome: Any = turn.board.read(OUTCOME)
    turn.whole = bool(outcome.get("whole"))
    turn.board.post(heard_key(turn.rank), None)
    if "record" in outcome:
        return CheckpointRecord(**outcome["record"])
    raise _error(outcome["error"])


def _error(told: Mapping[str, Any]) -> TrackerError:
    kind: Any = getattr(errors, str(told["type"]), None)
    message = str(told["message"])
    plain = isinstance(kind, type) and issubclass(kind, TrackerError)
    error: TrackerError = (
        kind(message)
        if plain and kind is not errors.UnstorableError
        else DistributedError(f"Rank 0 failed: {told['type']}: {message}")
    )
    error.add_note("This is what rank 0 ended with, which leads the checkpoint.")
    for note in told.get("notes", []):
        error.add_note(str(note))
    return error


_lock = threading.Lock()
_watched: list[tuple[Turn, Ticket]] = []
_watcher: threading.Thread | None = None
_SECONDS_BETWEEN_LOOKS = 0.1


def _watch(turn: Turn, ticket: Ticket) -> None:
    """Let a thread of its own look for the outcome: it may take as long as MLflow is away."""
    global _watcher
    with _lock:
        _watched.append((turn, ticket))
        if _watcher is None:
            _watcher = threading.Thread(target=_look, name="tracker outcomes", daemon=True)
            _watcher.start()


def _look() -> None:
    while True:
        with _lock:
            now = list(_watched)
        for each in now:
            if _is_told(*each):
                with _lock:
                    _watched.remove(each)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _is_told(turn: Turn, ticket: Ticket) -> bool:
    """Tell a ticket what is known of its checkpoint; return whether that is the end."""
    try:
        if turn.board.has([OUTCOME]):
            quiet = _is_quiet(turn)
            try:
                ticket.succeed(_record(turn))
            except TrackerError as error:
                (ticket.stay if quiet else ticket.fail)(error)
            return True
        if not ticket.settled() and turn.board.has([SETTLED]):
            ticket.spooled = Path(str(turn.board.read(SETTLED)))
            ticket.settle()
    except DistributedError as error:
        ticket.stay(
            DistributedError(
                f"The {ticket} is whole in the spool of rank 0, which has ended before it said "
                f"what became of it; `tracker sync` sends what is there. ({error})"
            )
        )
        return True
    return False


def _is_quiet(turn: Turn) -> bool:
    outcome: Any = turn.board.read(OUTCOME)
    return bool(outcome.get("quiet"))


def _after_fork() -> None:
    """The thread stayed in the parent, and so does what it looks for."""
    global _lock, _watcher
    _lock, _watcher = threading.Lock(), None
    _watched.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
