"""Which of several processes that train together this one is."""

from __future__ import annotations

import torch.distributed as distributed


def rank() -> int:
    """Return the rank of this process in ``torch.distributed``; 0 where it trains alone."""
    return distributed.get_rank() if _is_one_of_several() else 0


def world_size() -> int:
    """Return how many processes train together; 1 where this one is alone."""
    return distributed.get_world_size() if _is_one_of_several() else 1


def _is_one_of_several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
