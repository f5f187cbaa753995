"""Waiting for downloads; on a terminal, a wait that takes long shows how far they are."""

from __future__ import annotations

from typing import Protocol

from tracker import progress
from tracker.progress import Progress


class Arriving(Protocol):
    """Something on its way."""

    size: int

    def wait(self, seconds: float) -> bool:
        """Wait until it is there, at most that long; return whether it is."""

    def arrived(self) -> int:
        """Return how many bytes of it have arrived."""


def wait(coming: Arriving, name: str) -> None:
    """Wait until everything is there, or has failed.

    Args:
        coming: What is on its way.
        name: What it is called on the terminal, for example ``epoch-6``.
    """
    progress.wait(
        coming.wait,
        lambda: Progress(f"fetching {name}", coming.arrived(), coming.size),
        remaining=True,
    )
