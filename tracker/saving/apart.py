"""Processes on machines that do not see rank 0's spool: each sends what it wrote itself.

The order, when all have written and told their digests:

1. Rank 0 creates the logged model, PENDING, and says which it is.
2. Every such process sends its files, and says so; rank 0 sends all others meanwhile.
3. When all are there, of the sizes that were told, rank 0 sends the manifest; then READY, as ever.
4. Each removes what it wrote when it hears of the outcome.

While one sends it shows that it is alive, so that a large file may take its time, and who is dead
is noticed. Nothing of this waits in a spool for MLflow: what lies on several machines is no
checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import DistributedError, RecordError
from tracker.format import MANIFEST, amend_manifest, open_checkpoint
from tracker.record import artifacts, deliveries, flavor_file, runs, transfer
from tracker.record.boundary import check_reachable, connect
from tracker.saving import publish
from tracker.saving.leading import Lead
from tracker.saving.messages import SEND, alive_key
from tracker.saving.request import Request
from tracker.saving.spool import Delivery
from tracker.saving.turn import Turn, failure
from tracker.types import CheckpointRecord, Json

if TYPE_CHECKING:
    from tracker.record.boundary import Client

_LONGEST_SECONDS_BETWEEN_SIGNS = 5.0

_log = logging.getLogger("tracker.saving")


def send_together(
    client: Client,
    run: runs.Run,
    request: Request,
    waiting: Delivery,
    lead: Lead,
    sent: Callable[[int], None],
) -> CheckpointRecord:
    """Have all send what they wrote of a checkpoint; return it when it is READY.

    Args:
        client: MLflow.
        run: The run.
        request: Epoch, step, metrics and tags.
        waiting: Where rank 0 has the manifest, and what was written by those that see the folder.
        lead: Knows the others.
        sent: Called with the bytes of each file that rank 0 has sent.

    Raises:
        DistributedError: MLflow refused or could not be reached, by one of them; or one is gone.
    """
    turn, directory = lead.turn, waiting.checkpoint
    manifest = open_checkpoint(directory).manifest
    try:
        check_reachable(client.tracking_uri)
        tags = deliveries.tags(waiting.id, manifest.created_at)
        created = publish.begin(client, run, request, manifest.architecture, tags)
        with publish.failed_unless_done(client, created.id):
            if artifacts.local_directory(created.artifact_uri) is not None:
                raise RecordError(f"{created.artifact_uri} is not on all machines.")
            files = flavor_file.flavor_files(created.id, run.id, manifest.architecture)
            written = amend_manifest(directory, run_id=run.id, extra_files=files)
            with turn.board.beating(alive_key(0), _seconds_between_signs(turn)):
                turn.board.post(SEND, created.id)
                transfer.upload(
                    client,
                    created.id,
                    directory,
                    last=MANIFEST,
                    before_last=partial(_wait_for_others, client, created.id, lead),
                    sent=sent,
                )
            publish.announce("transferred", request.name, created.id)
            return publish.publish(client, run, created, written)
    except RecordError as error:
        raise DistributedError(
            f"The processes are on several machines which share no folder ({_ranks(lead)} did not "
            "see rank 0's spool), so the checkpoint could not wait on the disk for MLflow, and "
            f"there is none: {error}"
        ) from error


def _wait_for_others(client: Client, model_id: str, lead: Lead) -> None:
    """Wait until the others' files are there, and look at them.

    Raises:
        DistributedError: They are not.
        RecordError: MLflow refused or could not be reached.
    """
    lead.wait_for_apart()
    there = transfer.sizes(client, model_id)
    for rank, placed in lead.apart.items():
        for name, entry in placed.files.items():
            if name not in there or there[name] not in (None, entry.size):
                raise DistributedError(
                    f"{name} of {entry.size} bytes, which rank {rank} has sent, is not in the "
                    f"artifact store of {model_id} (there: {there.get(name, 'nothing')}), so there "
                    "is no checkpoint. All processes must log to the same MLflow server: see "
                    "MLFLOW_TRACKING_URI on each machine."
                )


def send_part(turn: Turn, tracking_uri: str, directory: Path, model_id: str) -> Json:
    """Send what this process has written on its own machine; return what to tell rank 0.

    Args:
        turn: The checkpoint.
        tracking_uri: The tracking store in force when it was handed over, in this process.
        directory: The files.
        model_id: The logged model.
    """

    def sent(size: int) -> None:
        _log.debug("part sent: %d bytes to %s", size, model_id)

    try:
        check_reachable(tracking_uri)
        with turn.board.beating(alive_key(turn.rank), _seconds_between_signs(turn)):
            transfer.upload(connect(tracking_uri), model_id, directory, sent=sent)
    except Exception as error:  # noqa: BLE001 - rank 0 decides what follows, and tells all
        return {"error": failure(error)}
    return None


def _seconds_between_signs(turn: Turn) -> float:
    return min(_LONGEST_SECONDS_BETWEEN_SIGNS, turn.seconds / 4)


def _ranks(lead: Lead) -> str:
    return ", ".join(f"rank {rank}" for rank in list(lead.apart)[:10])
