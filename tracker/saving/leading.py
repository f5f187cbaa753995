"""How rank 0 saves a checkpoint that several processes write together.

The order, in the background:

1. Every process offers what it holds. Only when all have, and it makes up the whole, is anything
   created in MLflow.
2. Rank 0 names a place: the folder of the logged model, or one in the spool.
3. Every process writes its file there, and tells its digests when it is on the disk.
4. When all have, rank 0 writes its own other files and, last, the manifest; then READY, as always.
5. It tells what became of it, and waits for a moment until all have heard: with it may end the
   store through which they do.

A process on another machine, which does not see the place, writes on its own and sends that itself,
if the artifact store is a remote one: see `apart`.

A process that dies or fails before it has told its digests leaves no manifest. If the place fails,
there may be a second one, in the spool; what the processes hold in memory is kept for so long.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracker.distributed.agreement import (
    Offer,
    agree,
    duplicates_to_json,
    offer_from_json,
    without,
)
from tracker.distributed.board import Patience, wait_for
from tracker.errors import DistributedError, StorageError
from tracker.format import Content, Placed, Shard, joined, write_shards
from tracker.format.shards import placed_from_json
from tracker.saving.files import make_folder
from tracker.saving.messages import (
    SEND,
    Pulse,
    alive_key,
    heard_key,
    offer_key,
    place_key,
    sent_key,
    written_key,
)
from tracker.saving.others import joined_training
from tracker.saving.shares import Shared
from tracker.saving.snapshot import Snapshot
from tracker.saving.turn import FAILED, OUTCOME, Turn
from tracker.types import Json

_SECONDS_TO_HEAR = 5.0
"""How long rank 0 waits until the others have heard of the outcome; who is dead never does."""

_SECONDS_TO_BE_SEEN = 5.0
"""How long a file may take to be seen on another machine of a shared file system."""


def by_group(snapshot: Snapshot) -> dict[str, list[Shard]]:
    """Return what a process holds of tensors that are spread, by group."""
    held: dict[str, list[Shard]] = {}
    for group, shard in snapshot.boxes:
        held.setdefault(group, []).append(shard)
    return held


class Lead:
    """Rank 0's part.

    Args:
        turn: The checkpoint.
        offered: What rank 0 holds itself.
        ties: Further names of spread tensors, see `Division`.

    Attributes:
        turn: The checkpoint.
        ties: As given.
        apart: What other processes have written that do not see the directory, by rank: each has
            its files on its own machine, and waits for `apart.send_together`.
    """

    def __init__(self, turn: Turn, offered: Offer, ties: Mapping[str, Mapping[str, str]]) -> None:
        self.turn = turn
        self._offers = {0: offered}
        self.apart: dict[int, Placed] = {}
        self.ties = ties
        self._duplicates: dict[int, Any] = {}
        self._training: dict[int, Any] = {}
        self._attempts = 0
        self._gone: DistributedError | None = None

    def gather(self, snapshot: Snapshot) -> None:
        """Wait until every process has offered what it holds, and see that it is everything.

        Args:
            snapshot: What rank 0 has itself.

        Raises:
            DistributedError: A process failed, or did not answer in time.
            InvalidArgumentError: They do not log the same checkpoint.
        """
        others = range(1, self.turn.size)
        self._wait({offer_key(rank): rank for rank in others}, "log_checkpoint was not called by")
        for rank in others:
            message: Any = self.turn.board.read(offer_key(rank))
            self._offers[rank] = offer_from_json(message["offer"], f"rank {rank}")
            self._training[rank] = message["training"]
        self._duplicates = agree(self._offers, snapshot.groups)

    def completed(
        self, directory: Path, content: Content, snapshot: Snapshot, *, may_send: bool = False
    ) -> Content:
        """Have every process write into a directory; return the content with what they wrote.

        Args:
            directory: The checkpoint's directory.
            content: All else that the checkpoint is to hold.
            snapshot: What rank 0 holds of tensors that are spread.
            may_send: Whether a process that does not see the directory may send what it holds
                itself, see `apart`.

        Raises:
            DistributedError: A process failed, or did not answer in time; the directory is gone.
            StorageError: The disk refused.
        """
        if self._gone is not None:
            raise self._gone
        attempt, self._attempts = self._attempts, self._attempts + 1
        try:
            placed = self._write_together(directory, by_group(snapshot), attempt, may_send)
        except BaseException:
            # Nobody else's: it was made for this checkpoint. Who still writes into it fails.
            shutil.rmtree(directory, ignore_errors=True)
            raise
        training = joined_training(content.training, self._training)
        return replace(content, placed=placed, training=training)

    def _write_together(
        self, directory: Path, shards: Mapping[str, list[Shard]], attempt: int, may_send: bool
    ) -> Placed:
        board, others = self.turn.board, range(1, self.turn.size)
        make_folder(directory)
        self.apart = {}
        skip = {str(rank): duplicates_to_json(self._duplicates[rank]) for rank in others}
        place: Json = {"directory": str(directory), "skip": skip, "may_send": may_send}
        board.post(place_key(attempt), place)
        own = write_shards(directory, 0, without(shards, self._duplicates[0]), {})
        board.post(written_key(attempt, 0), None)
        self._wait(
            {written_key(attempt, rank): rank for rank in others},
            f"{directory} was not written to by",
        )
        placed = [own]
        for rank in others:
            message: Any = board.read(written_key(attempt, rank))
            if "error" in message:
                raise failed_elsewhere(rank, message["error"])
            placed.append(placed_from_json(message["placed"], f"rank {rank}"))
            if message["apart"]:
                self.apart[rank] = placed[-1]
            else:
                _see(directory, rank, placed[-1])
        return joined(placed, self.ties)

    def _wait(self, keys: Mapping[str, int], problem: str) -> None:
        """Wait until there is a message under every key.

        Raises:
            DistributedError: A process failed, or did not answer in time.
        """
        board, patience = self.turn.board, Patience(self.turn.seconds)

        def look() -> bool | None:
            self.raise_failed()
            return board.has(keys) or None

        if wait_for(look, patience.left):
            return
        ranks = [rank for key, rank in keys.items() if not board.has([key])]
        self._gone = DistributedError(
            f"{problem} {_named(ranks)} of {self.turn.size} within {self.turn.seconds:g} seconds "
            "(TRACKER_DISTRIBUTED_TIMEOUT), so there is no checkpoint. The model is spread over "
            "the processes: each must call log_checkpoint, and be alive until it is saved."
        )
        raise self._gone

    def wait_for_apart(self) -> None:
        """Wait until the processes on other machines have sent what they wrote.

        It takes as long as they are seen to be alive.

        Raises:
            DistributedError: One failed, or is not seen any more.
        """
        board, alive = self.turn.board, {rank: Pulse(self.turn, rank) for rank in self.apart}

        def look() -> bool | None:
            self.raise_failed()
            for rank in list(alive):
                if board.has([sent_key(rank)]):
                    del alive[rank]
                    told: Any = board.read(sent_key(rank))
                    if told is not None:
                        raise failed_elsewhere(rank, told["error"])
            return not alive or None

        if not wait_for(look, lambda: min(pulse.left() for pulse in alive.values())):
            ranks = [rank for rank, pulse in alive.items() if pulse.left() <= 0]
            raise DistributedError(
                f"The artifact store was not sent its part by {_named(ranks)} of "
                f"{self.turn.size}, on another machine and not seen any more for "
                f"{self.turn.seconds:g} seconds (TRACKER_DISTRIBUTED_TIMEOUT), so there is no "
                "checkpoint."
            )

    def raise_failed(self) -> None:
        """Raise DistributedError if a process has said that its call failed."""
        if not self.turn.board.has([FAILED]):
            return
        message: Any = self.turn.board.read(FAILED)
        self._gone = failed_elsewhere(message["rank"], message)
        raise self._gone

    def tell(self, outcome: Json) -> None:
        """Say what became of the checkpoint, and wait for a moment until all have heard."""
        board = self.turn.board
        heard = [heard_key(rank) for rank in range(1, self.turn.size)]
        try:
            board.post(OUTCOME, outcome)
            until = time.monotonic() + min(_SECONDS_TO_HEAR, self.turn.seconds)
            wait_for(lambda: board.has(heard) or None, lambda: until - time.monotonic())
            board.clear([*heard, FAILED, SEND, *map(offer_key, range(1, self.turn.size))])
            board.clear([alive_key(0), *map(sent_key, self.apart), *map(alive_key, self.apart)])
            for attempt in range(self._attempts):
                ranks = range(self.turn.size)
                board.clear([place_key(attempt), *(written_key(attempt, r) for r in ranks)])
        except DistributedError:
            return  # who serves the store is gone, and with it whoever could be told


def lead(turn: Turn, shared: Shared) -> Lead:
    """Return rank 0's part, from what it holds itself."""
    return Lead(turn, shared.offered, shared.ties)


def failed_elsewhere(rank: int, told: Mapping[str, Any]) -> DistributedError:
    """Return the error of another process, as it has told of it."""
    error = DistributedError(f"Rank {rank} failed: {told['type']}: {told['message']}")
    for note in told.get("notes", []):
        error.add_note(str(note))
    return error


def _named(ranks: list[int]) -> str:
    shown = ", ".join(map(str, ranks[:10])) + (", …" if len(ranks) > 10 else "")
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {shown}"


def _see(directory: Path, rank: int, placed: Placed) -> None:
    """Look at the files that another process says it has written.

    Raises:
        StorageError: They are not here, or not as large.
    """
    until = time.monotonic() + _SECONDS_TO_BE_SEEN
    for name, entry in placed.files.items():
        path = directory / name

        def look(path: Path = path, size: int = entry.size) -> bool | None:
            return _size(path) == size or None

        if wait_for(look, lambda: until - time.monotonic()) is None:
            raise StorageError(
                f"{path}: rank {rank} has written it, but it is not here, or not whole: all "
                "processes must share the folder. Use an artifact store that they share, or an "
                "MLflow server, and a TRACKER_SPOOL_DIR that they share."
            )


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
