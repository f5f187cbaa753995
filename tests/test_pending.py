from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

import tracker
from tracker import Checkpoint, PendingCheckpoint
from tracker.errors import StorageError


def test_a_checkpoint_is_durable_when_log_checkpoint_returns(workplace: Path) -> None:
    pending = tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=1)
    assert pending.done()
    assert pending.exception() is None
    assert pending.result(timeout=0) == tracker.get_checkpoint(epoch=1)
    assert repr(pending) == "<PendingCheckpoint done>"
    tracker.flush(timeout=0)


def test_one_that_is_not_saved_yet_says_so() -> None:
    future: Future[Checkpoint] = Future()
    pending = PendingCheckpoint(future)
    assert not pending.done()
    assert repr(pending) == "<PendingCheckpoint being saved>"
    with pytest.raises(TimeoutError):
        pending.result(timeout=0)


def test_one_that_could_not_be_saved_raises_its_error() -> None:
    future: Future[Checkpoint] = Future()
    future.set_exception(StorageError("disk full"))
    pending = PendingCheckpoint(future)
    assert isinstance(pending.exception(), StorageError)
    with pytest.raises(StorageError, match="disk full"):
        pending.result()
