from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tracker
from tracker import PendingCheckpoint
from tracker.errors import StorageError
from tracker.saving.ticket import Ticket

from .training import log


def test_a_checkpoint_that_was_handed_over_is_saved_by_and_by(workplace: Path) -> None:
    pending = tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=1)
    assert pending.exception() is None
    assert pending.done()
    assert pending.result(timeout=0) == tracker.get_checkpoint(epoch=1)
    assert repr(pending) == "<PendingCheckpoint epoch-1: done>"
    tracker.flush(timeout=0)


def test_whoever_says_that_it_waits_gets_a_durable_one(workplace: Path) -> None:
    assert tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=1, wait=True).done()


def test_one_that_is_not_saved_yet_says_so() -> None:
    pending = PendingCheckpoint(Ticket("epoch-6", "0a1b"))
    assert not pending.done()
    assert repr(pending) == "<PendingCheckpoint epoch-6: being saved>"
    for ask in (pending.result, pending.exception):
        with pytest.raises(TimeoutError, match="checkpoint epoch-6 of run 0a1b is not saved yet"):
            ask(timeout=0)


def test_one_that_could_not_be_saved_raises_its_error() -> None:
    ticket = Ticket("epoch-6", "0a1b")
    ticket.fail(StorageError("disk full"))
    pending = PendingCheckpoint(ticket)
    assert isinstance(pending.exception(), StorageError)
    with pytest.raises(StorageError, match="disk full"):
        pending.result()


def test_flushing_makes_everything_durable_that_was_handed_over(workplace: Path) -> None:
    pending = [tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=epoch) for epoch in range(3)]
    tracker.flush()
    assert all(each.done() for each in pending)
    assert [each.epoch for each in tracker.search_checkpoints()] == [2, 1, 0]


def test_a_query_waits_for_ones_own_checkpoints(workplace: Path) -> None:
    first = log(epoch=1, metrics={"loss": 1.0})
    tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=2, metrics={"loss": 0.5})
    assert tracker.best_checkpoint("loss").epoch == 2
    tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=3)
    assert tracker.get_checkpoint(first.run_id).epoch == 3
    tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=4)
    assert tracker.load_model(f"runs:/{first.run_id}/epoch-4")
    tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=5)
    assert len(tracker.search_checkpoints()) == 5
