"""Finds the best checkpoint where that takes no more than a look into a SQLite file."""

from __future__ import annotations

from typing import Any

from tracker import settings
from tracker.catalog import direct
from tracker.direction import direction
from tracker.errors import InvalidArgumentError
from tracker.types import CheckpointRecord


def best_at_once(
    metric: Any, mode: Any, *, experiment: Any, run_id: Any, filter_string: Any
) -> CheckpointRecord | None:
    """Return what `find.best` finds, or None: then ask that, which also says why there is nothing.

    The arguments are those of `tracker.best_checkpoint`, not looked at yet.
    """
    texts = [text for text in (experiment, run_id) if text is not None]
    if filter_string or not all(isinstance(text, str) for text in (metric, *texts)):
        return None
    try:
        towards = direction(metric, mode)
    except InvalidArgumentError:
        return None
    return direct.best(
        settings.tracking_uri(), metric, towards, experiment=experiment, run_id=run_id
    )
