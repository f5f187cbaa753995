"""Which Trainers a `TrackerCheckpoint` can serve."""

from __future__ import annotations

from typing import Any

from tracker.errors import InvalidArgumentError

_SHARDED = {"FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy"}


def check_trainer(trainer: Any, expected: type, import_name: str) -> None:
    """Raise InvalidArgumentError for a Trainer whose checkpoints could not be saved.

    Args:
        trainer: The Trainer.
        expected: The class that it must be of; the other Lightning has another.
        import_name: The name that this Lightning is imported by.
    """
    if not issubclass(type(trainer), expected):
        other = type(trainer).__module__.partition(".")[0]
        raise InvalidArgumentError(
            f"This TrackerCheckpoint is for the Trainer of {import_name}, and the Trainer is of "
            f"{other}: import it from tracker.integrations.{other} instead."
        )
    strategies = {cls.__name__ for cls in type(trainer.strategy).__mro__}
    if strategies & _SHARDED:
        raise InvalidArgumentError(
            f"{type(trainer.strategy).__name__} has every process write a part of the checkpoint "
            "by itself, which TrackerCheckpoint can't save. Use Lightning's ModelCheckpoint here; "
            "or call tracker.log_checkpoint in a loop of your own, which saves models that "
            "fully_shard has sharded."
        )
