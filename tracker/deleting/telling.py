"""Tells mirrors of the catalog, and tracker services, which checkpoints were deleted.

They ask MLflow for what was updated, and MLflow does not tell what is gone. So the newest
checkpoint of the run says it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracker.errors import RecordError
from tracker.record import retention

if TYPE_CHECKING:
    from tracker.record.boundary import Client

_MOST_AGAIN = 100

_log = logging.getLogger("tracker.deleting")

_told: dict[str, deque[str]] = {}
"""By run, what was deleted last."""


def tell(client: Client, run_id: str, model_id: str, gone: Sequence[str]) -> None:
    """Say on a checkpoint what of its run was deleted, now and a short while ago.

    As far as MLflow lets us: a mirror that does not hear of it names a checkpoint whose files are
    not there, and forgets it when somebody loads it.

    Args:
        client: MLflow.
        run_id: The run.
        model_id: The checkpoint, the newest one.
        gone: The ids of those that were deleted.
    """
    if not gone:
        return
    # With those of before: nobody may have looked in between.
    again = _told.setdefault(run_id, deque(maxlen=_MOST_AGAIN))
    told = [*dict.fromkeys([*again, *gone])]
    again.extend(gone)
    try:
        retention.tell(client, model_id, told)
    except RecordError as error:
        _log.info("Mirrors learn later what of run %s was deleted: %s", run_id, error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_told.clear)
