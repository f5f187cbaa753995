"""Ignite: a save handler for its ``Checkpoint``, in the place of ``DiskSaver``; and the way back.

Example:
    >>> to_save = {"model": model, "optimizer": optimizer, "trainer": trainer}
    >>> saver = TrackerSaver(to_save, evaluators=evaluator)
    >>> best = Checkpoint(to_save, saver, n_saved=2, score_name="accuracy")
    >>> evaluator.add_event_handler(Events.COMPLETED, best)
"""

try:
    import ignite.engine  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tracker.integrations.ignite needs pytorch-ignite: "
        "pip install 'checkpoint-tracker[ignite]'",
        name=error.name,
    ) from error

from tracker.integrations.ignite.resuming import load, resume, resume_latest
from tracker.integrations.ignite.saver import TrackerSaver

__all__ = ["TrackerSaver", "load", "resume", "resume_latest"]
