"""The order of a save, in the background.

bytes → digests → manifest, then `publish`: metrics → READY in MLflow → catalog row. READY is the
commit point: before it nothing can see the checkpoint, after it nothing can lose it. What fails
before leaves a logged model marked FAILED; what fails after leaves a checkpoint that only the
catalog has yet to learn about.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracker import catalog, settings
from tracker.architecture import source
from tracker.errors import StorageError, TrackerError
from tracker.format import (
    MANIFEST,
    Content,
    SourceEntry,
    Written,
    withdraw_manifest,
    write_checkpoint,
)
from tracker.record import artifacts, flavor_file, logged_models, retention, runs
from tracker.record.boundary import connect
from tracker.saving import publish, stored
from tracker.saving.environment import environment
from tracker.saving.publish import Warn
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client


@dataclass(frozen=True, slots=True)
class Accepted:
    """All that saving a checkpoint needs, and nothing that training can change.

    Attributes:
        snapshot: The model and its training state; its tensors are copies.
        request: Epoch, step, metrics and tags.
        run: The run to log to.
        tracking_uri: The tracking store that was in force when it was handed over.
    """

    snapshot: Snapshot
    request: Request
    run: runs.Run
    tracking_uri: str


def save(accepted: Accepted, warn: Warn) -> CheckpointRecord:
    """Save a checkpoint and return its record.

    Args:
        accepted: What to save.
        warn: Called with what deserves a look.

    Raises:
        RecordError: MLflow refused or could not be reached.
        StorageError: The files could not be written.
        CatalogError: The catalog could not be used.
    """
    snapshot, request, run = accepted.snapshot, accepted.request, accepted.run
    client = connect(accepted.tracking_uri)
    engine = catalog.open_for_logging(accepted.tracking_uri)
    created = publish.begin(client, run, request, snapshot.description.architecture)
    with _failed_unless_done(client, created.id):
        written = _write(client, engine, _content(snapshot, request, run, created), created)
        publish.announce("written", request.name, created.id)
        record = publish.publish(client, run, created, written)
    publish.enter(client, engine, record, warn)
    return record


@contextmanager
def _failed_unless_done(client: Client, model_id: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        logged_models.fail(client, model_id)
        raise


def _content(
    snapshot: Snapshot, request: Request, run: runs.Run, created: logged_models.Created
) -> Content:
    description = snapshot.description
    files = source.archive(sorted(description.modules))
    return Content(
        name=request.name,
        run_id=run.id,
        created_at=created.created_at,
        epoch=request.epoch,
        step=request.step,
        metrics=request.metrics,
        tags=request.tags,
        architecture=description.architecture,
        state_values=dict(description.state_values),
        training=snapshot.training,
        environment=environment(description.modules),
        example=None if snapshot.example is None else snapshot.example.document,
        tensors={
            "model": description.state,
            "architecture": description.extra,
            "training": snapshot.training_tensors,
            "example": {} if snapshot.example is None else snapshot.example.tensors,
        },
        source=[
            (SourceEntry(f.module, f.path, f.script, f.package, f"source/{f.file}"), f.content)
            for f in files
        ],
        extra_files={"MLmodel": flavor_file.mlmodel(created.id, run.id, description.architecture)},
    )


def _write(
    client: Client, engine: catalog.Engine, content: Content, created: logged_models.Created
) -> Written:
    """Write the files: in place in a local store, else to a folder that is uploaded."""
    directory = artifacts.local_directory(created.artifact_uri)
    if directory is not None:
        _make(directory)
        return _write_files(client, engine, directory, content, created)
    staging = settings.cache_directory() / "uploads" / created.id
    _make(staging)
    written = _write_files(client, engine, staging, content, created)
    try:
        artifacts.upload(client, created.id, staging, last=MANIFEST)
    except TrackerError as error:
        error.add_note(f"The checkpoint's files were kept in {staging}.")
        raise
    shutil.rmtree(staging)
    return written


def _write_files(
    client: Client,
    engine: catalog.Engine,
    directory: Path,
    content: Content,
    created: logged_models.Created,
) -> Written:
    """Write the files, without the tensors that the run has stored already."""
    known = stored.known(content.run_id, created.artifact_uri, engine)
    written = write_checkpoint(directory, content, known=known)
    references = written.manifest.references
    if not references or retention.refer(client, created.id, references):
        return written
    # One of them is being replaced at this moment, or somebody deleted it.
    stored.forget(content.run_id)
    withdraw_manifest(directory)
    written = write_checkpoint(directory, content)
    retention.refer(client, created.id, [])
    return written


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {directory} can't be created: {error.strerror}.") from error
