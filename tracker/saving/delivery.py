"""How a checkpoint in the spool comes to MLflow. Doing it again is right: it stays one checkpoint.

Whoever dies in the middle, at whatever step, leaves the spool as it was, and a logged model that is
not READY, which the next attempt takes over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracker import settings
from tracker.catalog.opening import open_for_logging
from tracker.errors import NotFoundError, RecordUnreachableError, StorageError, TrackerError
from tracker.format import (
    MANIFEST,
    Manifest,
    StoredCheckpoint,
    Written,
    amend_manifest,
    content_of,
    known_tensors,
    open_checkpoint,
)
from tracker.record import (
    artifacts,
    deliveries,
    flavor_file,
    logged_models,
    runs,
    sessions,
    transfer,
)
from tracker.record.boundary import connect
from tracker.saving import publish, spool
from tracker.saving import stored as run_tensors
from tracker.saving.files import write_files
from tracker.saving.publish import Warn, announce
from tracker.saving.request import Request
from tracker.saving.retain import retain
from tracker.saving.spool import Delivery
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

Sent = Callable[[int], None]

_log = logging.getLogger("tracker.saving")


def written_uri(tracking_uri: str) -> str:
    """Return a tracking URI as it is written into the spool: absolute, and without a password.

    Two that are written alike mean the same store.
    """
    return settings.without_password(settings.absolute_uri(tracking_uri).rstrip("/"))


def deliver(
    delivery: Delivery,
    tracking_uri: str,
    *,
    warn: Warn,
    sent: Sent = lambda size: None,
    wait: bool = True,
) -> CheckpointRecord | None:
    """Bring a checkpoint from the spool to MLflow, and remove it there.

    Args:
        delivery: The checkpoint.
        tracking_uri: The tracking store that it goes to, with its password.
        warn: Called with what deserves a look.
        sent: Called with the bytes of each file that was uploaded.
        wait: Wait while others are delivering it.

    Returns:
        The checkpoint, whoever has delivered it, or None: others are at it, and ``wait`` is false.

    Raises:
        RecordUnreachableError: MLflow could not be reached.
        TrackerError: It could not be delivered; it stays in the spool, with the reason.
    """
    client = connect(tracking_uri)
    with spool.locked(delivery, wait=wait) as mine:
        if not mine:
            return None
        current = spool.read(delivery.directory)
        if current is None:
            return _delivered_by_others(client, delivery)
        try:
            record = _deliver(client, current, warn, sent)
        except Exception as error:
            _note(current, error)
            raise
        spool.forget(current)
        announce("forgotten", record.name, record.id)
    # No more than that the checkpoint is in MLflow is owed to whoever waits for the lock.
    retain(client, open_for_logging(tracking_uri), record, current.retention, warn)
    return record


def _deliver(client: Client, delivery: Delivery, warn: Warn, sent: Sent) -> CheckpointRecord:
    engine = open_for_logging(client.tracking_uri)
    run = _run(client, delivery)
    begun = deliveries.begun(client, run, delivery.id)
    record = begun.delivered or _send(client, engine, delivery, run, begun, sent)
    publish.enter(client, engine, record, warn)
    for other in begun.pending:
        if other.id != record.id:
            logged_models.delete(client, other.id)
    return record


def _send(
    client: Client,
    engine: Engine,
    delivery: Delivery,
    run: runs.Run,
    begun: deliveries.Begun,
    sent: Sent,
) -> CheckpointRecord:
    stored = open_checkpoint(delivery.checkpoint)
    created = _created(client, delivery, run, stored.manifest, begun)
    directory, written = _complete(client, engine, delivery, run, stored, created)
    announce("completed", delivery.name, created.id)
    _transfer(client, directory, created, written, sent)
    announce("transferred", delivery.name, created.id)
    return publish.publish(client, run, created, written)


def _complete(
    client: Client,
    engine: Engine,
    delivery: Delivery,
    run: runs.Run,
    stored: StoredCheckpoint,
    created: logged_models.Created,
) -> tuple[Path, Written]:
    """Give the checkpoint what it learns from MLflow; return where it is then.

    What waits in the spool is whole. If the run has some of its tensors already, a copy without
    them is sent.
    """
    manifest, tensor = stored.manifest, partial(stored.tensor, "example")
    files = flavor_file.flavor_files(
        created.id, run.id, manifest.architecture, manifest.example, tensor
    )
    known = run_tensors.known(run.id, created.artifact_uri, engine)
    if _has_parts(manifest) or not known.keys() & known_tensors(stored.manifest, created.id).keys():
        checkpoint = delivery.checkpoint
        return checkpoint, amend_manifest(checkpoint, run_id=run.id, extra_files=files)
    spool.abandon(delivery.lean)  # of an earlier attempt
    whole = content_of(stored)
    whole = replace(whole, run_id=run.id, extra_files={**whole.extra_files, **files})
    return delivery.lean, write_files(client, engine, delivery.lean, whole, created)


def _has_parts(manifest: Manifest) -> bool:
    """Return whether several processes wrote it: a copy would hold every tensor in memory."""
    return any(entry.parts for named in manifest.tensors.values() for entry in named.values())


def _run(client: Client, delivery: Delivery) -> runs.Run:
    if delivery.run_id is not None:
        return runs.run_for_logging(client, delivery.run_id)
    if delivery.session is None:
        raise StorageError(f"{delivery.directory}: names neither a run nor what to make one of.")
    with spool.making_runs():
        return sessions.run_of(client, delivery.session)


def _created(
    client: Client,
    delivery: Delivery,
    run: runs.Run,
    manifest: Manifest,
    begun: deliveries.Begun,
) -> logged_models.Created:
    request = Request(manifest.epoch, manifest.step, manifest.metrics, manifest.tags)
    if begun.pending:
        return deliveries.take_over(client, run, begun.pending[0], request.mlflow_step)
    tags = deliveries.tags(delivery.id, manifest.created_at)
    return publish.begin(client, run, request, manifest.architecture, tags)


def _transfer(
    client: Client,
    directory: Path,
    created: logged_models.Created,
    written: Written,
    sent: Sent,
) -> None:
    place = artifacts.local_directory(created.artifact_uri)
    if place is None:
        transfer.upload(client, created.id, directory, last=MANIFEST, sent=sent)
    else:
        transfer.place(directory, place, last=MANIFEST)
        sent(written.size)


def _delivered_by_others(client: Client, delivery: Delivery) -> CheckpointRecord:
    record = deliveries.begun(client, _run(client, delivery), delivery.id).delivered
    if record is None:
        raise NotFoundError(
            f"{delivery.directory}: {delivery.name} is neither in the spool nor in MLflow any "
            "more; somebody removed it."
        )
    return record


def _note(delivery: Delivery, error: Exception) -> None:
    """Write down how an attempt ended, as far as the disk lets us: the error is what to report."""
    tried = replace(
        delivery,
        attempts=delivery.attempts + 1,
        error=f"{type(error).__name__}: {error}",
        refused=not isinstance(error, RecordUnreachableError),
    )
    try:
        spool.write(tried)
    except TrackerError as failure:
        _log.warning("The spool could not be written: %s", failure)
