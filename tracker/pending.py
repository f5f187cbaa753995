"""`PendingCheckpoint`: what `log_checkpoint` returns while, or after, the checkpoint is saved."""

from __future__ import annotations

from concurrent.futures import Future

from tracker.checkpoint import Checkpoint


class PendingCheckpoint:
    """A checkpoint that was handed over to be saved.

    In this version `log_checkpoint` saves before it returns, so it is always done.

    Example:
        >>> pending = tracker.log_checkpoint(model, epoch=3)
        >>> pending.result().id
        'm-0f3c…'
    """

    def __init__(self, future: Future[Checkpoint]) -> None:
        self._future = future

    def result(self, timeout: float | None = None) -> Checkpoint:
        """Wait until the checkpoint is durable and return it.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            TrackerError: It could not be saved.
            TimeoutError: It is not saved yet.
        """
        return self._future.result(timeout)

    def done(self) -> bool:
        """Return whether it is saved, or failed."""
        return self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like `result` and return the error that saving ended with, or None."""
        return self._future.exception(timeout)

    def __repr__(self) -> str:
        return f"<PendingCheckpoint {'done' if self.done() else 'being saved'}>"
