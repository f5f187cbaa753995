"""Processes of a distributed training that are not there: only what each of them holds counts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch.distributed as distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

InRank = Callable[[int, int], contextlib.AbstractContextManager[None]]


@pytest.fixture
def in_rank() -> InRank:
    """Make this process one of several in a block; collectives do nothing."""

    @contextlib.contextmanager
    def enter(rank: int, size: int) -> Iterator[None]:
        distributed.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
        try:
            yield
        finally:
            distributed.destroy_process_group()

    return enter
