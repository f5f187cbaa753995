"""One checkpoint of a model that is spread over processes, as each of them begins with it.

All of them call `log_checkpoint`, each time all; so the number of the call tells which checkpoint a
message is about. A call that fails in one process counts, too, and the others are told.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from torch import nn

from tracker import settings
from tracker.architecture.distribution import fully_sharded
from tracker.distributed.board import Board, default_store
from tracker.training.world import rank, world_size
from tracker.types import Json
from tracker.values import is_spread

FAILED = "failed"
"""Under this key a process says that its call of `log_checkpoint` failed, and which it is."""

OUTCOME = "outcome"
"""Under this one rank 0 says what became of the checkpoint."""


@dataclass(slots=True)
class Turn:
    """A checkpoint that several processes save together.

    Attributes:
        board: The messages about it.
        rank: This process.
        size: How many there are.
        seconds: How long to wait for others.
        handed_over: Whether the background has it.
        whole: Whether it is known to be whole, in MLflow or in the spool, whatever fails since.
    """

    board: Board
    rank: int
    size: int
    seconds: float
    handed_over: bool = field(default=False)
    whole: bool = field(default=False)

    @property
    def leads(self) -> bool:
        """Whether it is this process that writes the manifest: rank 0."""
        return self.rank == 0

    def fail(self, error: BaseException) -> None:
        """Tell the others that this process does not take part.

        Raises:
            DistributedError: The store can't be reached.
        """
        told = failure(error)
        if self.leads:
            self.board.post(OUTCOME, {"error": told})
        else:
            self.board.post(FAILED, {"rank": self.rank, **told})


def failure(error: BaseException) -> dict[str, Json]:
    """Return an error as others are told of it."""
    notes: list[Json] = list(getattr(error, "__notes__", []))
    return {"type": type(error).__name__, "message": str(error), "notes": notes}


class _Counting:
    """Which store the processes have met by, and how many checkpoints were begun since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Any = None
        self._met = 0
        self._numbers = itertools.count()

    def next_board(self) -> Board:
        store = default_store()
        with self._lock:
            if store is not self._store:  # the process group was made anew
                self._store, self._numbers = store, itertools.count()
                self._met += 1
            return Board(store, f"tracker/{self._met}/{next(self._numbers)}")


_counting = _Counting()


def begin(model: object) -> Turn | None:
    """Begin a checkpoint of a model; None if no other process needs to know of it.

    Raises:
        DistributedError: The processes have no store through which they could agree.
        InvalidArgumentError: ``TRACKER_DISTRIBUTED_TIMEOUT`` is no number of seconds.
    """
    if world_size() == 1 or not isinstance(model, nn.Module) or not is_model_spread(model):
        return None
    seconds = settings.distributed_timeout()
    return Turn(_counting.next_board(), rank(), world_size(), seconds)


def is_model_spread(model: nn.Module) -> bool:
    """Return whether parameters or buffers of a model are spread over processes.

    Those that ``fully_shard`` holds whole after a forward pass are spread all the same.
    """
    tensors = chain(model.parameters(), model.buffers())
    return bool(fully_sharded(model)) or any(map(is_spread, tensors))


@contextmanager
def others_told(model: object) -> Iterator[Turn | None]:
    """Begin a checkpoint; if the block fails before the background has it, tell the others."""
    turn = begin(model)
    try:
        yield turn
    except BaseException as error:
        if turn is not None and not turn.handed_over:
            turn.handed_over = True
            _tell(turn, error)
        raise


def _tell(turn: Turn, error: BaseException) -> None:
    try:
        turn.fail(error)
    except Exception as failed:  # noqa: BLE001 - the first error is the one to raise
        error.add_note(f"Nor could the other processes be told: {failed}")
