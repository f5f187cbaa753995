"""A checkpoint as MLflow's logged model holds it: tags, params and metrics, and back.

Everything that the catalog knows is on the logged model too, so the catalog can be made again from
MLflow alone.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from tracker.types import CheckpointRecord, Rebuild

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

PREFIX = "tracker."
MODEL_TYPE = "tracker.checkpoint"
MAX_TAG_LENGTH = 5000
REFERENCES = PREFIX + "references"
"""The ids of the checkpoints that hold files of this one, separated by commas."""

REPLACED_BY = PREFIX + "replaced_by"
"""On a logged model that is no checkpoint any more: the same epoch was logged again, or a retention
let it go when the one that is named here was logged."""

KEPT = PREFIX + "kept"
"""On one that was replaced, but stays for the sake of others."""

KEPT_FILES = PREFIX + "kept_files"
"""Beside the former, where not all files stay: the names of those that do, separated by commas."""

LET_GO = PREFIX + "let_go"
"""How the names of tags begin, on a checkpoint, that hold the ids of those of its run that were
deleted when it was the newest: MLflow tells nobody else that they are gone."""

KEEP = PREFIX + "keep"
"""By this a user says that a checkpoint stays, whatever a retention says; see docs/retention.md."""

COPY_OF = PREFIX + "copy_of"
"""On the logged model that holds a registered version's files: the checkpoint it was made from."""

_log = logging.getLogger("tracker")


def create_tags(
    *,
    epoch: int | None,
    step: int | None,
    model_class: str,
    model_text: str,
    rebuild: Rebuild,
    tags: Mapping[str, str],
) -> dict[str, str]:
    """Return the tags that are known before the files are written."""
    known = {
        "epoch": epoch,
        "step": step,
        "model_class": model_class,
        "model": model_text[:MAX_TAG_LENGTH],
        "rebuild": rebuild,
    }
    own = {PREFIX + name: str(value) for name, value in known.items() if value is not None}
    return {**tags, **own}


def finish_tags(*, size: int, manifest_digest: str, metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the tags that are set when the files are complete, just before READY."""
    # MLflow changes these values on logged models: NaN becomes 0.0, infinities become 1.8e308.
    special = {name: repr(value) for name, value in metrics.items() if not math.isfinite(value)}
    tags = {PREFIX + "size": str(size), PREFIX + "manifest": manifest_digest}
    if special:
        tags[PREFIX + "special_metrics"] = json.dumps(special)
    return tags


def to_record(model: LoggedModel, experiment: str) -> CheckpointRecord | None:
    """Return the checkpoint that a logged model is, or None if it is none, or none any more."""
    tags = model.tags or {}
    digest = tags.get(PREFIX + "manifest")
    if digest is None or REPLACED_BY in tags or str(model.status) != "READY":
        return None
    try:
        return _record(model, experiment, tags, digest)
    except (ValueError, TypeError, AttributeError) as error:
        # Anyone may edit tags in MLflow; one broken checkpoint must not hide all others.
        _log.warning("The tags of logged model %s can't be read: %s", model.model_id, error)
        return None


def _record(
    model: LoggedModel, experiment: str, tags: Mapping[str, str], digest: str
) -> CheckpointRecord:
    epoch, step = tags.get(PREFIX + "epoch"), tags.get(PREFIX + "step")
    metrics = {metric.key: metric.value for metric in model.metrics or ()}
    special = json.loads(tags.get(PREFIX + "special_metrics", "{}"))
    return CheckpointRecord(
        id=model.model_id,
        run_id=model.source_run_id or "",
        experiment_id=model.experiment_id,
        experiment=experiment,
        name=model.name,
        epoch=None if epoch is None else int(epoch),
        step=None if step is None else int(step),
        metrics={**metrics, **{name: float(text) for name, text in special.items()}},
        params=dict(model.params or {}),
        tags={k: v for k, v in tags.items() if k == KEEP or not k.startswith((PREFIX, "mlflow."))},
        model_class=tags.get(PREFIX + "model_class", ""),
        model_text=tags.get(PREFIX + "model", ""),
        rebuild=cast(Rebuild, tags.get(PREFIX + "rebuild", "none")),
        size=int(tags.get(PREFIX + "size", "0")),
        created_at=_created_at(model, tags),
        artifact_uri=model.artifact_location,
        manifest_digest=digest,
    )


def _created_at(model: LoggedModel, tags: Mapping[str, str]) -> int:
    """Return when it was logged, which one that was delivered later says itself.

    No checkpoint is logged after MLflow had it: whose clock is ahead would otherwise have the
    newest checkpoint of all for as long.
    """
    delivered = int(model.creation_timestamp)
    return min(int(tags.get(PREFIX + "created_at", delivered)), delivered)
