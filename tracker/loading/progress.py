"""Waiting for downloads; on a terminal, a wait that takes long shows how far they are."""

from __future__ import annotations

import sys
from typing import Protocol

_QUIET_SECONDS = 2
_SECONDS_BETWEEN_LOOKS = 0.1
_LONG = 3600.0


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
    if sys.stderr is not None and sys.stderr.isatty() and not coming.wait(_QUIET_SECONDS):
        _show(coming, name)
    while not coming.wait(_LONG):
        pass


def _show(coming: Arriving, name: str) -> None:
    # Here, because it takes longer than most waits do.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    # Refreshed by hand: an exiting interpreter starts no threads.
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task(f"fetching {name}", total=coming.size)
        while not coming.wait(_SECONDS_BETWEEN_LOOKS):
            bar.update(task, completed=coming.arrived(), refresh=True)
