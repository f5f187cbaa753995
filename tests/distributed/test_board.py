"""Messages through the store of torch.distributed."""

from __future__ import annotations

import random

import pytest
import torch.distributed as distributed

from tracker.distributed import board as boards
from tracker.distributed.board import Board, Patience, default_store, wait_for
from tracker.errors import DistributedError

from .conftest import InRank


def test_a_message_is_there_for_all_and_for_no_other_checkpoint() -> None:
    store = distributed.HashStore()
    board = Board(store, "tracker/1/0")
    assert not board.has(["offer/1"])
    board.post("offer/1", {"tensors": ["ü", 1.5, None]})
    again = Board(store, "tracker/1/0")
    assert again.has(["offer/1"])
    assert not again.has(["offer/1", "offer/2"])
    assert again.read("offer/1") == {"tensors": ["ü", 1.5, None]}
    assert not Board(store, "tracker/1/1").has(["offer/1"])


def test_a_message_larger_than_the_store_takes_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "_PIECE", 1000)
    board = Board(distributed.HashStore(), "tracker")
    message = random.Random(1).randbytes(5000).hex()
    board.post("large", message)
    assert board.read("large") == message
    board.clear(["large", "never posted"])
    assert not board.has(["large"])


def test_a_store_that_is_gone_is_our_error() -> None:
    class Gone:
        def check(self, keys: list[str]) -> bool:
            raise RuntimeError("Connection reset by peer\nand more")

    board = Board(distributed.HashStore(), "tracker")
    board._store = Gone()
    with pytest.raises(DistributedError, match=r"has probably ended: Connection reset by peer$"):
        board.has(["outcome"])


def test_torch_still_tells_by_which_store_the_processes_met(in_rank: InRank) -> None:
    # It has no public function for it.
    with in_rank(0, 2):
        store = default_store()
        assert callable(store.check)
        assert default_store() is store


def test_waiting_ends_with_what_is_found_or_with_the_time() -> None:
    found = iter([None, None, "place"])
    assert wait_for(lambda: next(found), Patience(60).left) == "place"
    assert wait_for(lambda: None, Patience(0.01).left) is None
