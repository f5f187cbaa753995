"""How a checkpoint comes to be found: params → metrics → READY in MLflow → catalog row.

Here meet the two ways to MLflow, the direct one and the one by way of the spool. READY is the
commit point: before it nothing can see the checkpoint, after it nothing can lose it. Every step may
be done again after a death in the middle.

Every step is announced as a debug message of the logger ``tracker.saving``: its name, then the
checkpoint's. The tests kill the process at each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracker.catalog.writes import put
from tracker.errors import CatalogError, RecordError
from tracker.format import Written
from tracker.record import logged_models, retention, runs, tags
from tracker.saving import stored
from tracker.saving.request import Request
from tracker.types import Architecture, CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

Warn = Callable[[str], None]

_log = logging.getLogger("tracker.saving")


def announce(step: str, name: str, model_id: str) -> None:
    """Say which step of a save is done, to whoever debugs or tests it."""
    _log.debug("%s: %s as %s", step, name, model_id)


def begin(
    client: Client,
    run: runs.Run,
    request: Request,
    architecture: Architecture,
    own_tags: Mapping[str, str] | None = None,
) -> logged_models.Created:
    """Create the PENDING logged model of a checkpoint.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    known = tags.create_tags(
        epoch=request.epoch,
        step=request.step,
        model_class=architecture.model_class,
        model_text=architecture.model_text,
        rebuild=architecture.rebuild,
        tags=request.tags,
    )
    created = logged_models.create(
        client,
        run,
        name=request.name,
        step=request.mlflow_step,
        params=architecture.params,
        tags={**known, **(own_tags or {})},
    )
    announce("created", request.name, created.id)
    return created


@contextmanager
def failed_unless_done(client: Client, model_id: str) -> Iterator[None]:
    """Mark a logged model FAILED if the block, which writes its files, fails."""
    try:
        yield
    except BaseException:
        logged_models.fail(client, model_id)
        raise


def publish(
    client: Client, run: runs.Run, created: logged_models.Created, written: Written
) -> CheckpointRecord:
    """Make a logged model READY whose files are all where they belong.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    manifest, architecture = written.manifest, written.manifest.architecture
    request = Request(manifest.epoch, manifest.step, manifest.metrics, manifest.tags)
    runs.log_model_params(client, run.id, architecture.model_class, architecture.params)
    announce("params logged", request.name, created.id)
    runs.log_metrics(
        client,
        run.id,
        request.metrics,
        step=request.mlflow_step,
        model_id=created.id,
        timestamp=manifest.created_at,
    )
    announce("metrics logged", request.name, created.id)
    logged_models.finish(
        client,
        created.id,
        tags.finish_tags(
            size=written.size, manifest_digest=written.manifest_digest, metrics=request.metrics
        ),
    )
    announce("ready", request.name, created.id)
    record = CheckpointRecord(
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
        created_at=manifest.created_at,
        artifact_uri=created.artifact_uri,
        manifest_digest=written.manifest_digest,
    )
    stored.learn(record, written)
    return record


def enter(client: Client, engine: Engine, record: CheckpointRecord, warn: Warn) -> None:
    """Enter a READY checkpoint into the catalog; what it replaces leaves that, then MLflow.

    Args:
        client: MLflow.
        engine: The catalog.
        record: The checkpoint.
        warn: Called with what deserves a look.

    Raises:
        CatalogError: The catalog could not be used.
    """
    try:
        replaced = put(engine, record)
    except CatalogError as error:
        error.add_note(
            f"The checkpoint {record.id} itself is complete in MLflow; `tracker reindex` enters it "
            "into the catalog when that can be used again."
        )
        raise
    for old in replaced:
        warn(_replace(client, record, old))
    announce("catalogued", record.name, record.id)


def _replace(client: Client, record: CheckpointRecord, old: CheckpointRecord) -> str:
    """Delete in MLflow what left the catalog; return what to tell about it."""
    what = f"{record.name} of run {record.run_id}"
    try:
        is_kept = retention.retire(client, old.id, old.experiment_id, replaced_by=record.id)
    except RecordError as error:
        return f"{what}: {record.id} replaces {old.id}, which stays in MLflow: {error}"
    if old.id == record.id:
        return f"{what} was logged again by another process meanwhile, so {old.id} was dropped."
    needed = "while later checkpoints refer to them"
    until = needed if is_kept else "until `tracker collect` frees them"
    return f"{what} was logged before: {record.id} replaces {old.id}, whose files stay {until}."
