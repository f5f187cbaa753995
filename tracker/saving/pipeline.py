"""The order of a save, in the background. Weights that were handed over are never lost.

Into a local store, directly: bytes → digests → manifest, then `publish`: metrics → READY in MLflow
→ catalog row. READY is the commit point: before it nothing can see the checkpoint, after it nothing
can lose it. What fails before leaves a logged model marked FAILED, and the checkpoint in the spool;
what fails after leaves a checkpoint that only the catalog has yet to learn about.

Over the network, by way of the spool: bytes → digests → manifest on the local disk, and the
deliverer does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tracker.catalog.opening import open_for_logging
from tracker.errors import RecordUnreachableError, StorageError
from tracker.format import Written, write_checkpoint
from tracker.record import artifacts, flavor_file, logged_models, runs
from tracker.record.boundary import connect
from tracker.retention import Retention
from tracker.saving import delivery, publish, spool
from tracker.saving.apart import send_together
from tracker.saving.content import content
from tracker.saving.deliverer import deliverer
from tracker.saving.destination import Destination
from tracker.saving.files import make_folder, write_files
from tracker.saving.lead_ticket import LeadTicket
from tracker.saving.leading import Lead
from tracker.saving.others import Others, with_others
from tracker.saving.request import Request
from tracker.saving.retain import retain
from tracker.saving.snapshot import Snapshot
from tracker.saving.spool import Delivery
from tracker.saving.ticket import Ticket
from tracker.saving.writer import Then
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client


@dataclass(frozen=True, slots=True)
class Accepted:
    """All that saving a checkpoint needs, and nothing that training can change.

    Attributes:
        snapshot: The model and its training state; its tensors are copies.
        request: Epoch, step, metrics and tags.
        destination: The run to log to, and the tracking store in force when it was handed over.
        lead: Has other processes write what they hold; None if this one writes alone.
        others: Have something of their own to be kept, where this one writes alone.
    """

    snapshot: Snapshot
    request: Request
    destination: Destination
    lead: Lead | None = None
    others: Others | None = None


def save(accepted: Accepted, ticket: Ticket) -> CheckpointRecord | Then:
    """Save a checkpoint.

    Args:
        accepted: What to save.
        ticket: Learns what deserves a look, and, from whoever delivers it, what became of a
            checkpoint in the spool.

    Returns:
        The record; or what comes next: for a checkpoint in the spool, to hand it on; else to let
        older ones go.

    Raises:
        RecordError: MLflow refused.
        StorageError: The files could not be written.
        CatalogError: The catalog could not be used.
    """
    destination = accepted.destination
    if accepted.lead is not None:
        accepted.lead.gather(accepted.snapshot)
    accepted = replace(accepted, snapshot=with_others(accepted.snapshot, accepted.others))
    if destination.offline:
        return _leave_in_spool(accepted, ticket)
    carrier = deliverer(destination.tracking_uri)
    run = destination.run
    if run is None or carrier.has_outage():
        return partial(carrier.submit, _spool(accepted, ticket), ticket)
    if not destination.is_direct:
        # A folder that is not on all machines is no artifact store to which each could send.
        may_send = artifacts.local_directory(run.artifact_location) is None
        waiting = _spool(accepted, ticket, may_send=may_send)
        if accepted.lead is not None and accepted.lead.apart:
            return _send_together(accepted, run, accepted.lead, waiting, ticket)
        return partial(carrier.submit, waiting, ticket)
    try:
        client = connect(destination.tracking_uri)
        engine = open_for_logging(destination.tracking_uri)
        record = _save_in_place(client, engine, run, accepted)
    except Exception as error:
        waiting = _rescue(accepted, ticket, error)
        if not isinstance(error, RecordUnreachableError):
            raise
        return partial(carrier.submit, waiting, ticket)
    return _entered(client, engine, record, accepted, ticket)


def _entered(
    client: Client, engine: Engine, record: CheckpointRecord, accepted: Accepted, ticket: Ticket
) -> CheckpointRecord | Then:
    if accepted.lead is not None:
        accepted.lead.turn.whole = True
    publish.enter(client, engine, record, ticket.warn)
    if accepted.request.retention is None:
        return record
    return partial(_retain, client, engine, record, accepted.request.retention, ticket)


def _send_together(
    accepted: Accepted, run: runs.Run, lead: Lead, waiting: Delivery, ticket: Ticket
) -> CheckpointRecord | Then:
    """Have each process send what it wrote; what is here of it is removed in any case."""
    uri = accepted.destination.tracking_uri
    try:
        client, engine = connect(uri), open_for_logging(uri)
        record = send_together(client, run, accepted.request, waiting, lead, ticket.add_sent)
    finally:
        spool.abandon(waiting.directory)
    return _entered(client, engine, record, accepted, ticket)


def _retain(
    client: Client,
    engine: Engine,
    record: CheckpointRecord,
    retention: Retention,
    ticket: Ticket,
) -> None:
    """Let the retention delete older ones, when the memory of the new one is free."""
    try:
        retain(client, engine, record, retention, ticket.warn)
    finally:
        ticket.succeed(record)


def _save_in_place(
    client: Client, engine: Engine, run: runs.Run, accepted: Accepted
) -> CheckpointRecord:
    architecture = accepted.snapshot.description.architecture
    created = publish.begin(client, run, accepted.request, architecture)
    with publish.failed_unless_done(client, created.id):
        written = _write(client, engine, run, accepted, created)
        publish.announce("written", accepted.request.name, created.id)
        return publish.publish(client, run, created, written)


def _write(
    client: Client,
    engine: Engine,
    run: runs.Run,
    accepted: Accepted,
    created: logged_models.Created,
) -> Written:
    directory = artifacts.local_directory(created.artifact_uri)
    if directory is None:
        raise StorageError(f"{created.artifact_uri}: is not the local directory that it was.")
    make_folder(directory)
    architecture, example = accepted.snapshot.description.architecture, accepted.snapshot.example
    described = (example.document, example.tensors.__getitem__) if example else ()
    whole = content(
        accepted.snapshot,
        accepted.request,
        run_id=run.id,
        created_at=created.created_at,
        extra_files=flavor_file.flavor_files(created.id, run.id, architecture, *described),
    )
    if accepted.lead is not None:
        whole = accepted.lead.completed(directory, whole, accepted.snapshot)
    return write_files(client, engine, directory, whole, created)


def _spool(
    accepted: Accepted,
    ticket: Ticket,
    error: Exception | None = None,
    *,
    may_send: bool = False,
) -> Delivery:
    """Keep a checkpoint on the local disk until MLflow has it.

    With ``may_send`` processes on other machines may keep their files there, see `apart`. Then it
    is no delivery, since it is nowhere whole.
    """
    destination, request = accepted.destination, accepted.request
    directory = spool.new_directory()
    waiting = Delivery(
        directory=directory,
        name=request.name,
        tracking_uri=delivery.written_uri(destination.tracking_uri),
        run_id=destination.run_id,
        session=destination.session,
        created_at=runs.now(),
        error=None if error is None else f"{type(error).__name__}: {error}",
        refused=error is not None and not isinstance(error, RecordUnreachableError),
        retention=request.retention,
    )
    try:
        whole = content(
            accepted.snapshot,
            request,
            run_id=destination.run_id or "",
            created_at=waiting.created_at,
        )
        if accepted.lead is not None:
            whole = accepted.lead.completed(
                waiting.checkpoint, whole, accepted.snapshot, may_send=may_send
            )
        write_checkpoint(waiting.checkpoint, whole)
        if accepted.lead is not None and accepted.lead.apart:
            return waiting
        spool.write(waiting)
    except BaseException:
        spool.abandon(directory)
        raise
    ticket.spooled = directory
    if isinstance(ticket, LeadTicket):
        ticket.wait_in_spool()
    publish.announce("spooled", request.name, waiting.id)
    return waiting


def _rescue(accepted: Accepted, ticket: Ticket, error: Exception) -> Delivery:
    """Keep in the spool what could not be saved, or raise ``error`` if that fails, too."""
    try:
        waiting = _spool(accepted, ticket, error)
    except Exception as failure:  # noqa: BLE001 - the first error is the one to raise
        error.add_note(f"Nor could the checkpoint be kept in the spool: {failure}")
        raise error from error.__cause__
    if not isinstance(error, RecordUnreachableError):
        error.add_note(
            f"The checkpoint is kept in {waiting.directory}; `tracker sync` sends it when that is "
            "mended."
        )
    return waiting


def _leave_in_spool(accepted: Accepted, ticket: Ticket) -> Then:
    waiting = _spool(accepted, ticket)
    error = RecordUnreachableError(
        f"The {ticket} is kept in {waiting.directory}, because TRACKER_OFFLINE is set; "
        "`tracker sync` sends it to MLflow."
    )
    return partial(ticket.stay, error)
