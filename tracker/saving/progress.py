"""Waiting for checkpoints; on a terminal, a wait that takes long shows how far they are."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from tracker.saving.ticket import Ticket, wait_until_settled

_QUIET_SECONDS = 2
_SECONDS_BETWEEN_LOOKS = 0.1


def wait(waiting: Sequence[Ticket], timeout: float | None) -> None:
    """Wait until every ticket is settled, or the time is over."""
    longest = threading.TIMEOUT_MAX
    end = time.monotonic() + (longest if timeout is None else min(timeout, longest))
    if waiting and sys.stderr is not None and sys.stderr.isatty():
        wait_until_settled(waiting, min(_QUIET_SECONDS, _until(end)))
        _show(waiting, end)
    wait_until_settled(waiting, _until(end))


def _until(end: float) -> float:
    return max(0.0, end - time.monotonic())


def _late(waiting: Sequence[Ticket]) -> list[Ticket]:
    return [ticket for ticket in waiting if not ticket.settled()]


def _show(waiting: Sequence[Ticket], end: float) -> None:
    if not _late(waiting):
        return
    # Here, because it takes longer than most waits do.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Refreshed by hand: an exiting interpreter starts no threads.
    with Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task("", total=sum(ticket.size for ticket in waiting))
        while (late := _late(waiting)) and _until(end) > 0:
            names = late[0].name if len(late) == 1 else f"{len(late)} checkpoints"
            sent = sum(ticket.sent for ticket in waiting)
            bar.update(task, description=f"saving {names}", completed=sent, refresh=True)
            wait_until_settled(late, min(_SECONDS_BETWEEN_LOOKS, _until(end)))
