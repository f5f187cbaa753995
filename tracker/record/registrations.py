"""Which checkpoints somebody has registered, by tracker or by MLflow's own means.

A version may name its checkpoint in several ways: by the tags that `tracker.register` writes, by
``models:/m-…``, by the place of its files, or by being a copy of another version.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from tracker.record import version_tags
from tracker.record.boundary import mlflow_errors
from tracker.record.versions import matching

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")


def registered(client: MlflowClient, run_id: str, model_ids: Collection[str]) -> dict[str, str]:
    """Return which of some logged models of a run are registered, and as what.

    Args:
        client: MLflow.
        run_id: Their run.
        model_ids: Their ids.

    Returns:
        By id, a version that was made from it, such as ``digits-cnn/3``.

    Raises:
        RecordError: MLflow refused or could not be reached: then nobody knows.
    """
    if not model_ids:
        return {}
    found: dict[str, str] = {}
    with mlflow_errors(f"asking what of run {run_id} is registered", client.tracking_uri):
        for version in matching(client, f"run_id = '{run_id}'"):
            for model_id in _made_from(client, version) & set(model_ids):
                found[model_id] = _title(version)
        # Not every version says its run.
        for model_id in sorted(set(model_ids) - found.keys()):
            for version in matching(client, f"source_path LIKE '%{model_id}%'"):
                found[model_id] = _title(version)
    return found


def _made_from(client: MlflowClient, version: ModelVersion) -> set[str]:
    named = [version.model_id, version.source, (version.tags or {}).get(version_tags.CHECKPOINT)]
    ids = {id_ for text in named for id_ in _MODEL_ID.findall(text or "")}
    if not ids:  # a copy of another version, which may be gone: where are its files?
        place = client.get_model_version_download_uri(version.name, str(version.version))
        ids.update(_MODEL_ID.findall(place or ""))
    return ids


def _title(version: ModelVersion) -> str:
    return f"{version.name}/{version.version}"
