"""Waiting for something; on a terminal, a wait that takes long shows how far it is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

_QUIET_SECONDS = 2
_SECONDS_BETWEEN_LOOKS = 0.1
_LONG = 3600.0
"""Seconds; what waits for ever does so in parts, as systems bound the time of a wait."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is.

    Attributes:
        what: What it is called on the terminal.
        done: Bytes that are done.
        total: Bytes of all.
    """

    what: str
    done: int
    total: int


def wait(
    over: Callable[[float], bool],
    progress: Callable[[], Progress],
    *,
    timeout: float | None = None,
    remaining: bool = False,
) -> None:
    """Wait until something is over, or the time is.

    Args:
        over: Waits for it, at most so many seconds; returns whether it is over.
        progress: Returns how far it is.
        timeout: Seconds to wait at most; None waits as long as it takes.
        remaining: Show the time that remains instead of the time it took so far.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    if (
        sys.stderr is not None
        and sys.stderr.isatty()
        and not over(min(_QUIET_SECONDS, _until(end)))
    ):
        _show(over, progress, end, remaining)
    while _until(end) > 0 and not over(min(_LONG, _until(end))):
        pass


def _until(end: float) -> float:
    return max(0.0, end - time.monotonic())


def _show(
    over: Callable[[float], bool], progress: Callable[[], Progress], end: float, remaining: bool
) -> None:
    # Here, because it takes longer than most waits do.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    # Refreshed by hand: an exiting interpreter starts no threads.
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn() if remaining else TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task(progress().what, total=progress().total)
        while _until(end) > 0 and not over(min(_SECONDS_BETWEEN_LOOKS, _until(end))):
            now = progress()
            bar.update(task, description=now.what, completed=now.done, refresh=True)
