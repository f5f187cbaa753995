"""A checkpoint in a folder of its own, by the way that every checkpoint goes, but for MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import nn

from tracker.format import StoredCheckpoint, open_checkpoint, write_checkpoint
from tracker.saving import host_copy
from tracker.saving.content import content
from tracker.saving.request import Request
from tracker.saving.snapshot import take


def store(
    directory: Path,
    model: nn.Module,
    *,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
) -> StoredCheckpoint:
    """Write a checkpoint as `tracker.log_checkpoint` does, and open it.

    Args:
        directory: An empty folder.
        model: See `tracker.log_checkpoint`, as all that follows.
        optimizer: Its state is stored.
        scheduler: Its state is stored.
        state: More objects with a state, by name.

    Raises:
        InvalidArgumentError: An argument is not usable.
        UnstorableError: A tensor or value can't be stored.
        StorageError: The disk refused.
    """
    snapshot = take(model, optimizer=optimizer, scheduler=scheduler, state=state)
    with ExitStack() as until:
        copied = host_copy.copy(snapshot, host_copy.plan(snapshot), host_copy.pool(), until)
        request = Request(epoch=None, step=None, metrics={}, tags={})
        write_checkpoint(directory, content(copied, request, run_id="", created_at=0))
    return open_checkpoint(directory)
