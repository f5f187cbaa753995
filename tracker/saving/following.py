"""How the other processes take part in a checkpoint that rank 0 leads; see `leading`."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Mapping
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
from tracker.saving.leading import (
    SETTLED,
    SPOOLED,
    by_group,
    heard_key,
    offer_key,
    place_key,
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
    """

    turn: Turn
    offered: Offer
    shards: Mapping[str, list[Shard]]
    own: Mapping[str, Mapping[str, Tensor]]
    training: Json


def part(turn: Turn, shared: Shared, copied: Snapshot) -> Part:
    """Return what this process adds, from what it holds and the copy of that."""
    own = {"training": copied.training_tensors}
    return Part(turn, shared.offered, by_group(copied), own, copied.training)


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
    while True:
        key = _next_message(turn, attempt, patience)
        if key == SPOOLED or (key == OUTCOME and _is_quiet(turn)):
            return partial(_watch, turn, ticket)
        if key == OUTCOME:
            return _record(turn)
        message: Any = turn.board.read(key)
        turn.board.post(written_key(attempt, turn.rank), _write(part, message))
        attempt += 1
        patience.renew()


def _next_message(turn: Turn, attempt: int, patience: Patience) -> str:
    """Return the key under which rank 0 says what comes next.

    Raises:
        DistributedError: It says nothing.
    """
    board = turn.board
    progress = [] if attempt == 0 else [written_key(attempt - 1, 0)]

    def look() -> str | None:
        for key in (place_key(attempt), OUTCOME, SPOOLED):
            if board.has([key]):
                return key
        if progress and board.has(progress):  # from now on it waits for the others
            progress.clear()
            patience.renew()
        return None

    found = wait_for(look, patience.left)
    if found is None:
        raise DistributedError(
            f"Rank 0, which writes what belongs to all, did not answer within {turn.seconds:g} "
            "seconds (TRACKER_DISTRIBUTED_TIMEOUT). The model is spread over the processes: each "
            "must call log_checkpoint, and be alive until it is saved."
        )
    return found


def _write(part: Part, message: Mapping[str, Any]) -> Json:
    """Write what this process holds; return what to tell rank 0."""
    directory, rank = Path(message["directory"]), part.turn.rank
    try:
        skip = duplicates_from_json(message["skip"].get(str(rank), []), "rank 0")
        _see(directory)
        return {
            "placed": placed_to_json(
                write_shards(directory, rank, without(part.shards, skip), part.own)
            )
        }
    except Exception as error:  # noqa: BLE001 - rank 0 decides what follows, and tells all
        return {"error": failure(error)}


def _see(directory: Path) -> None:
    until = time.monotonic() + _SECONDS_TO_BE_SEEN
    if not wait_for(lambda: directory.is_dir() or None, lambda: until - time.monotonic()):
        raise StorageError(
            f"{directory} is not on this machine ({platform.node()}): all processes must share "
            "the folder. Use an artifact store that they share, or an MLflow server, and a "
            "TRACKER_SPOOL_DIR that they share."
        )


def _record(turn: Turn) -> CheckpointRecord:
    """Return what rank 0 says that became of the checkpoint.

    Raises:
        TrackerError: It failed.
    """
    outcome: Any = turn.board.read(OUTCOME)
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
