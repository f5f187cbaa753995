"""What the processes that save a checkpoint together tell one another, and under which keys."""

from __future__ import annotations

from tracker.distributed.board import Patience
from tracker.saving.turn import Turn
from tracker.types import Json

SPOOLED = "spooled"
"""Under this key rank 0 says that the checkpoint is whole in the spool."""

SEND = "send"
"""Under this one, to which logged model those send what they hold that don't see its folder."""

SETTLED = "settled"
"""Under this one, that nobody needs to wait for it any more: MLflow can't be reached."""


def offer_key(rank: int) -> str:
    """Return where a process says what it holds."""
    return f"offer/{rank}"


def place_key(attempt: int) -> str:
    """Return where rank 0 says where to write."""
    return f"place/{attempt}"


def written_key(attempt: int, rank: int) -> str:
    """Return where a process says what it has written, or why it could not."""
    return f"written/{attempt}/{rank}"


def sent_key(rank: int) -> str:
    """Return where a process says that it has sent what it wrote, or why it could not."""
    return f"sent/{rank}"


def alive_key(rank: int) -> str:
    """Return where a process that sends shows that it is alive."""
    return f"alive/{rank}"


def heard_key(rank: int) -> str:
    """Return where a process says that it knows the outcome."""
    return f"heard/{rank}"


class Pulse:
    """How long a process that sends may go unseen: it begins anew whenever it shows itself."""

    def __init__(self, turn: Turn, rank: int, more: float = 0) -> None:
        self._turn, self._rank = turn, rank
        self._patience = Patience(turn.seconds + more)
        self._seen: Json = None

    def left(self) -> float:
        """Look for it; return the seconds that are left."""
        board, key = self._turn.board, alive_key(self._rank)
        now = board.read(key) if board.has([key]) else None
        if now != self._seen:
            self._seen = now
            self._patience.renew()
        return self._patience.left()
