"""The order of a save.

bytes → digests → manifest → metrics → READY in MLflow → catalog row. READY is the commit point:
before it nothing can see the checkpoint, after it nothing can lose it. What fails before leaves a
logged model marked FAILED; what fails after leaves a checkpoint that only the catalog has yet to
learn about.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracker import catalog, settings
from tracker.architecture import source
from tracker.errors import CatalogError, RecordError, StorageError, TrackerError, TrackerWarning
from tracker.format import MANIFEST, Content, SourceEntry, Written, write_checkpoint
from tracker.record import artifacts, flavor_file, logged_models, runs, tags
from tracker.record.boundary import connect, tracking_uri
from tracker.saving.environment import environment
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def save(snapshot: Snapshot, request: Request, run_id: str | None) -> CheckpointRecord:
    """Save a snapshot as a checkpoint of a run and return its record.

    Args:
        snapshot: The model and its training state.
        request: Epoch, step, metrics and tags.
        run_id: The run to log to; None for the active one, or a new one.

    Raises:
        NotFoundError: There is no such run.
        RecordError: MLflow refused or could not be reached.
        StorageError: The files could not be written.
        CatalogError: The catalog could not be used.
    """
    client = connect(tracking_uri())
    run = runs.run_for_logging(client, run_id)
    engine = catalog.open_for_logging(client.tracking_uri)
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
    with _failed_unless_done(client, created.id):
        content = _content(snapshot, request, run, created)
        written = _write(client, content, created)
        runs.log_model_params(client, run.id, architecture.model_class, architecture.params)
        runs.log_metrics(
            client,
            run.id,
            request.metrics,
            step=request.mlflow_step,
            model_id=created.id,
            timestamp=created.created_at,
        )
        logged_models.finish(
            client,
            created.id,
            tags.finish_tags(
                size=written.size,
                manifest_digest=written.manifest_digest,
                metrics=request.metrics,
            ),
        )
    record = _record(snapshot, request, run, created, written)
    _enter(client, engine, record)
    _warn_if_not_rebuildable(snapshot)
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


def _enter(client: Client, engine: catalog.Engine, record: CheckpointRecord) -> None:
    """Enter the checkpoint into the catalog; what it replaces leaves it in the same transaction."""
    try:
        replaced = catalog.put(engine, record)
    except CatalogError as error:
        error.add_note(
            f"The checkpoint {record.id} itself is complete in MLflow; `tracker reindex` enters it "
            "into the catalog when that can be used again."
        )
        raise
    for old in replaced:
        warnings.warn(_replace(client, record, old), TrackerWarning, stacklevel=4)


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


def _warn_if_not_rebuildable(snapshot: Snapshot) -> None:
    architecture = snapshot.description.architecture
    if architecture.rebuild == "none":
        reasons = "\n".join(f"  {problem}" for problem in architecture.problems[:5])
        warnings.warn(
            f"The weights of {architecture.model_text} were saved, but loading them will need a "
            f"model instance: neither its constructor nor its structure rebuilds it.\n{reasons}",
            TrackerWarning,
            stacklevel=4,
        )
