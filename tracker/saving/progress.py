"""Waiting for checkpoints; on a terminal, a wait that takes long shows how far they are."""

from __future__ import annotations

from collections.abc import Sequence

from tracker import progress
from tracker.progress import Progress
from tracker.saving.ticket import Ticket, wait_until_settled


def wait(waiting: Sequence[Ticket], timeout: float | None) -> None:
    """Wait until every ticket is settled, or the time is over."""

    def late() -> list[Ticket]:
        return [ticket for ticket in waiting if not ticket.settled()]

    def over(seconds: float) -> bool:
        wait_until_settled(waiting, seconds)
        return not late()

    def how_far() -> Progress:
        names = [ticket.name for ticket in late()]
        what = f"saving {names[0] if len(names) == 1 else f'{len(names)} checkpoints'}"
        sent = sum(ticket.sent for ticket in waiting)
        return Progress(what, sent, sum(ticket.size for ticket in waiting))

    progress.wait(over, how_far, timeout=timeout)
