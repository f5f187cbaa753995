"""How a checkpoint in the spool comes to MLflow. Doing it again is right: it stays one checkpoint.

Whoever dies in the middle, at whatever step, leaves the spool as it was, and a logged model that is
not READY, which the next attempt takes over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tracker import catalog, settings
from tracker.errors import NotFoundError, RecordUnreachableError, StorageError, TrackerError
from tracker.format import MANIFEST, Manifest, Written, amend_manifest, open_checkpoint
from tracker.record import artifacts, deliveries, flavor_file, logged_models, runs, sessions
from tracker.record.boundary import connect
from tracker.saving import publish, spool
from tracker.saving.publish import Warn, announce
from tracker.saving.request import Request
from tracker.saving.spool import Delivery
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client

Sent = Callable[[int], None]

_log = logging.getLogger("tracker.saving")


def goes_to(delivery: Delivery, tracking_uri: str) -> bool:
    """Return whether a delivery is for a tracking store."""
    return delivery.tracking_uri == destination(tracking_uri)


def destination(tracking_uri: str) -> str:
    """Return a tracking URI as it is written into the spool."""
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
        return record


def _deliver(client: Client, delivery: Delivery, warn: Warn, sent: Sent) -> CheckpointRecord:
    engine = catalog.open_for_logging(client.tracking_uri)
    run = _run(client, delivery)
    begun = deliveries.begun(client, run, delivery.id)
    record = begun.delivered or _send(client, delivery, run, begun, sent)
    publish.enter(client, engine, record, warn)
    for other in begun.pending:
        if other.id != record.id:
            logged_models.delete(client, other.id)
    return record


def _send(
    client: Client, delivery: Delivery, run: runs.Run, begun: deliveries.Begun, sent: Sent
) -> CheckpointRecord:
    manifest = open_checkpoint(delivery.checkpoint).manifest
    created = _created(client, delivery, run, manifest, begun)
    written = amend_manifest(
        delivery.checkpoint,
        run_id=run.id,
        extra_files={"MLmodel": flavor_file.mlmodel(created.id, run.id, manifest.architecture)},
    )
    announce("amended", delivery.name, created.id)
    _transfer(client, delivery, created, written, sent)
    announce("uploaded", delivery.name, created.id)
    return publish.publish(client, run, created, written)


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
    delivery: Delivery,
    created: logged_models.Created,
    written: Written,
    sent: Sent,
) -> None:
    directory = artifacts.local_directory(created.artifact_uri)
    if directory is None:
        artifacts.upload(client, created.id, delivery.checkpoint, last=MANIFEST, sent=sent)
    else:
        artifacts.place(delivery.checkpoint, directory, last=MANIFEST)
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
