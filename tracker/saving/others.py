"""What other processes have of their own while rank 0 alone writes: random states, loaders.

Under DistributedDataParallel every process has the whole model, and draws random numbers of its
own. Those that call `log_checkpoint`, too, leave what is their own where rank 0 finds it. Whether
they do nobody can know, so rank 0 never waits long, and only in the background.
"""

from __future__ import annotations

import base64
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tracker.distributed.board import Board, default_store, wait_for
from tracker.errors import DistributedError
from tracker.format.dtypes import DTYPES
from tracker.format.memory import bytes_of
from tracker.saving.snapshot import OwnState, Snapshot
from tracker.training.world import rank, world_size
from tracker.types import Json

_SECONDS = 3.0
"""How long rank 0 waits for those that have called before, or, at first, for all."""

_MOST_BYTES = 4 << 20
"""Of one process: what is larger is no counter or random state."""

_log = logging.getLogger("tracker.saving")
_calls: Counter[str] = Counter()
_silent: set[int] = set()
"""Processes that rank 0 has waited for in vain, and that have never called."""


@dataclass(frozen=True, slots=True)
class Others:
    """The other processes, as rank 0 asks for what they have of their own.

    Attributes:
        board: Where they leave it.
        keys: The key of each, by rank.
    """

    board: Board
    keys: Mapping[int, str]


def others_of(checkpoint: str) -> Others | None:
    """Return whom rank 0 asks for what belongs to a checkpoint; None if it trains alone."""
    if world_size() == 1:
        return None
    try:
        board = _board()
    except DistributedError as error:
        _log.debug("Other processes can't be asked: %s", error)
        return None
    number = _count(checkpoint)
    return Others(board, {r: _key(checkpoint, number, r) for r in range(1, world_size())})


def leave(checkpoint: str, own: OwnState) -> None:
    """Leave for rank 0 what this process has of its own of a checkpoint."""
    number = _count(checkpoint)
    if own.training is None or sum(t.nbytes for t in own.tensors.values()) > _MOST_BYTES:
        return
    message: Json = {
        "training": own.training,
        "tensors": {name: _packed(tensor, name) for name, tensor in own.tensors.items()},
    }
    try:
        _board().post(_key(checkpoint, number, rank()), message)
    except DistributedError as error:
        _log.debug("Rank 0 can't be told: %s", error)


def with_others(snapshot: Snapshot, others: Others | None) -> Snapshot:
    """Return a snapshot with what the other processes have left; in the background of rank 0."""
    if others is None or not isinstance(snapshot.training, dict):
        return snapshot
    try:
        left = _collected(others)
    except DistributedError as error:
        _log.debug("Other processes can't be asked any more: %s", error)
        return snapshot
    tensors = dict(snapshot.training_tensors)
    for message in left.values():
        tensors |= {name: _unpacked(each) for name, each in message["tensors"].items()}
    training = joined_training(
        snapshot.training, {r: message["training"] for r, message in left.items()}
    )
    return replace(snapshot, training=training, training_tensors=tensors)


def joined_training(training: Any, others: Mapping[int, Any]) -> Json:
    """Return rank 0's training state with what each other process has of its own.

    Args:
        training: Rank 0's, as typed JSON; None if it has none.
        others: Those of others by rank; None for one that has none.
    """
    given = {str(rank): own for rank, own in others.items() if own}
    if not given or training is None:
        return training  # type: ignore[no-any-return]
    merged = dict(training)
    random = {rank: own["random"] for rank, own in given.items() if "random" in own}
    if random and "random" in merged:
        ranks = {**merged["random"]["ranks"], **random}
        merged["random"] = {**merged["random"], "ranks": ranks}
    states: dict[str, Json] = {
        rank: {"state": own["state"]} for rank, own in given.items() if "state" in own
    }
    return {**merged, "ranks": states} if states else merged


def _collected(others: Others) -> dict[int, Any]:
    awaited = {key for rank, key in others.keys.items() if rank not in _silent}
    until = time.monotonic() + _SECONDS
    wait_for(lambda: others.board.has(awaited) or None, lambda: until - time.monotonic())
    left: dict[int, Any] = {}
    for number, key in others.keys.items():
        if others.board.has([key]):
            left[number] = others.board.read(key)
            _silent.discard(number)
        else:
            _silent.add(number)
    others.board.clear(others.keys.values())
    return left


def _board() -> Board:
    return Board(default_store(), "tracker/own")


def _count(checkpoint: str) -> int:
    """Return how often a checkpoint of this name was logged before: others count as well."""
    _calls[checkpoint] += 1
    return _calls[checkpoint]


def _key(checkpoint: str, number: int, rank: int) -> str:
    return f"{checkpoint}/{number}/{rank}"


def _packed(tensor: Tensor, name: str) -> Json:
    data = base64.b64encode(bytes_of(tensor, name)).decode()
    return [str(tensor.dtype).removeprefix("torch."), [*tensor.shape], data]


def _unpacked(packed: Any) -> Tensor:
    dtype, shape, data = packed
    made = torch.empty(shape, dtype=DTYPES[dtype].torch)
    if made.numel():
        flat = torch.frombuffer(bytearray(base64.b64decode(data)), dtype=made.dtype)
        made.copy_(flat.reshape(shape))
    return made
