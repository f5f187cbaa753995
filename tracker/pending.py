"""`PendingCheckpoint`: what `log_checkpoint` returns while the checkpoint is being saved."""

from __future__ import annotations

from pathlib import Path

from tracker.checkpoint import Checkpoint
from tracker.saving.ticket import Ticket


class PendingCheckpoint:
    """A checkpoint that was handed over to be saved.

    Nobody has to ask for its result: what could not be saved is raised by the next call of
    `log_checkpoint` or `flush`, unless it was asked for here.

    Example:
        >>> pending = tracker.log_checkpoint(model, epoch=3)
        >>> pending.result().id
        'm-0f3c…'
    """

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket

    @property
    def ticket(self) -> Ticket:
        """What the rooms below know it by; for integrations."""
        return self._ticket

    def result(self, timeout: float | None = None) -> Checkpoint:
        """Wait until the checkpoint is in MLflow and return it.

        While MLflow can't be reached it is kept on the local disk, and this waits on; with
        ``TRACKER_OFFLINE=1`` it raises instead.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            TrackerError: It could not be saved.
            TimeoutError: It is not saved yet.
        """
        return Checkpoint(self._ticket.result(timeout, stacklevel=2))

    def done(self) -> bool:
        """Return whether it is saved, or failed."""
        return self._ticket.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like `result` and return the error that saving ended with, or None."""
        return self._ticket.exception(timeout, stacklevel=2)

    @property
    def spooled(self) -> Path | None:
        """Its folder on the local disk, where it waits until MLflow can be reached; None if not."""
        from tracker.saving.spool import CHECKPOINT  # it needs MLflow

        directory = self._ticket.spooled
        return None if directory is None else directory / CHECKPOINT

    def __repr__(self) -> str:
        state = "done" if self.done() else "being saved"
        return f"<PendingCheckpoint {self._ticket.name}: {state}>"
