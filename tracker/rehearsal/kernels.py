"""Which kernels torch knows to give other results by chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MARK = "deterministic"


@contextmanager
def kernels_by_chance() -> Iterator[list[str]]:
    """Collect what torch says of kernels without a deterministic implementation that are used.

    Yields:
        A list that has its sentences when the block is left.

    Example:
        >>> with kernels_by_chance() as found:
        ...     torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2))
        >>> found
        ["put_ does not have a deterministic implementation, but you set …"]
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield found
        finally:
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    texts = [str(each.message).partition(". ")[0] for each in caught]
    found += dict.fromkeys(text for text in texts if _MARK in text)
