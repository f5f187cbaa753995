"""Hands an imported checkpoint to the pipeline that saves every checkpoint."""

from __future__ import annotations

from tracker.errors import RecordUnreachableError
from tracker.importing.contents import Contents
from tracker.record import runs
from tracker.saving.destination import Destination
from tracker.saving.pipeline import Accepted, save
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot
from tracker.saving.ticket import Ticket
from tracker.types import CheckpointRecord


def save_now(
    snapshot: Snapshot, request: Request, run: runs.Run, tracking_uri: str
) -> CheckpointRecord:
    """Save a checkpoint and wait until it is READY.

    In this thread, because the tensors are nobody else's: no copy of them is needed.

    Raises:
        RecordUnreachableError: MLflow could not be reached; the checkpoint is kept in the spool.
        RecordError: MLflow refused.
        StorageError: The files could not be written.
    """
    tensors = [*snapshot.description.state.values(), *snapshot.training_tensors.values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    ticket = Ticket(request.name, run.id, size)
    saved = save(Accepted(snapshot, request, Destination(tracking_uri, run, run.id)), ticket)
    if isinstance(saved, CheckpointRecord):
        ticket.succeed(saved)
    else:
        saved()
        ticket.wait_until_durable(stacklevel=2)
    if not ticket.done():
        raise RecordUnreachableError(
            f"MLflow could not be reached; the {ticket} is kept in {ticket.spooled}, and "
            "`tracker sync` sends it."
        )
    return ticket.result(stacklevel=2)


def sanitised(contents: Contents) -> tuple[dict[str, float], list[str]]:
    """Return the metrics by names that MLflow allows, and what had to be left out."""
    from tracker.importing.hyperparameters import allowed_name

    kept: dict[str, float] = {}
    notes: list[str] = []
    for name, value in contents.metrics.items():
        allowed = allowed_name(name)
        if allowed and allowed not in kept:
            kept[allowed] = value
        else:
            notes.append(f"without the metric {name[:60]!r}, whose name MLflow does not allow")
    return kept, notes
