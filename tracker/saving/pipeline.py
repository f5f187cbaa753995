"""The order of a save, in the background.

bytes → digests → manifest → metrics → READY in MLflow → catalog row. READY is the commit point:
before it nothing can see the checkpoint, after it nothing can lose it. What fails before leaves a
logged model marked FAILED; what fails after leaves a checkpoint that only the catalog has yet to
learn about.

Every step is announced as a debug message of the logger ``tracker.saving``: its name, then the
checkpoint's. The tests kill the process at each.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracker import catalog, settings
from tracker.architecture import source
from tracker.errors import CatalogError, RecordError, StorageError, TrackerError
from tracker.format import MANIFEST, Content, SourceEntry, Written, write_checkpoint
from tracker.record import artifacts, flavor_file, logged_models, runs, tags
from tracker.record.boundary import connect
from tracker.saving.environment import environment
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client


_log = logging.getLogger("tracker.saving")


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


def save(accepted: Accepted, warn: Callable[[str], None]) -> CheckpointRecord:
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
    architecture = snapshot.description.architecture
    created = logged_models.create(
        client,
        run,
        name=request.name,
        step=request.mlflow_step,
        params=architecture.params,
        tags=tags.create_tags(
            epoch=request.epoch,
            step=request.step,
            model_class=architecture.model_class,
            model_text=architecture.model_text,
            rebuild=architecture.rebuild,
            tags=request.tags,
        ),
    )
    _announce("created", request, created)
    with _failed_unless_done(client, created.id):
        content = _content(snapshot, request, run, created)
        written = _write(client, content, created)
        _announce("written", request, created)
        runs.log_model_params(client, run.id, architecture.model_class, architecture.params)
        _announce("params logged", request, created)
        runs.log_metrics(
            client,
            run.id,
            request.metrics,
            step=request.mlflow_step,
            model_id=created.id,
            timestamp=created.created_at,
        )
        _announce("metrics logged", request, created)
        logged_models.finish(
            client,
            created.id,
            tags.finish_tags(
                size=written.size,
                manifest_digest=written.manifest_digest,
                metrics=request.metrics,
            ),
        )
    _announce("ready", request, created)
    record = _record(snapshot, request, run, created, written)
    for old in _enter(engine, record):
        warn(_replace(client, record, old))
    _announce("catalogued", request, created)
    return record


def _announce(step: str, request: Request, created: logged_models.Created) -> None:
    _log.debug("%s: %s as %s", step, request.name, created.id)


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


def _write(client: Client, content: Content, created: logged_models.Created) -> Written:
    """Write the files: in place in a local store, else to a folder that is uploaded."""
    directory = artifacts.local_directory(created.artifact_uri)
    if directory is not None:
        _make(directory)
        return write_checkpoint(directory, content)
    staging = settings.cache_directory() / "uploads" / created.id
    _make(staging)
    written = write_checkpoint(staging, content)
    try:
        artifacts.upload(client, created.id, staging, last=MANIFEST)
    except TrackerError as error:
        error.add_note(f"The checkpoint's files were kept in {staging}.")
        raise
    shutil.rmtree(staging)
    return written


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {directory} can't be created: {error.strerror}.") from error


def _record(
    snapshot: Snapshot,
    request: Request,
    run: runs.Run,
    created: logged_models.Created,
    written: Written,
) -> CheckpointRecord:
    architecture = snapshot.description.architecture
    return CheckpointRecord(
        id=created.id,
        run_id=run.id,
        experiment_id=run.experiment_id,
        experiment=run.experiment,
        name=request.name,
        epoch=request.epoch,
        step=request.step,
        metrics=dict(request.metrics),
        params=dict(architecture.params),
        tags=dict(request.tags),
        model_class=architecture.model_class,
        model_text=architecture.model_text,
        rebuild=architecture.rebuild,
        size=written.size,
        created_at=created.created_at,
        artifact_uri=created.artifact_uri,
        manifest_digest=written.manifest_digest,
    )


def _enter(engine: catalog.Engine, record: CheckpointRecord) -> list[CheckpointRecord]:
    """Enter the checkpoint into the catalog; return what left it in the same transaction."""
    try:
        return catalog.put(engine, record)
    except CatalogError as error:
        error.add_note(
            f"The checkpoint {record.id} itself is complete in MLflow; `tracker reindex` enters it "
            "into the catalog when that can be used again."
        )
        raise


def _replace(client: Client, record: CheckpointRecord, old: CheckpointRecord) -> str:
    """Delete in MLflow what left the catalog; return what to tell about it."""
    what = f"{record.name} of run {record.run_id}"
    try:
        logged_models.delete(client, old.id)
    except RecordError as error:
        return f"{what}: {record.id} replaces {old.id}, which stays in MLflow: {error}"
    if old.id == record.id:
        return f"{what} was logged again by another process meanwhile, so {old.id} was dropped."
    return (
        f"{what} was logged before: {record.id} replaces {old.id}, whose files stay until MLflow's "
        "own clean-up removes them."
    )
