"""Rebuilds a model to report how it comes about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch

from tracker.architecture.constructor import proven_device
from tracker.architecture.imports import Imports
from tracker.architecture.trust import parse_trust
from tracker.errors import TrackerError
from tracker.format import Manifest
from tracker.format.dtypes import DTYPES
from tracker.loading.classes import check_classes, imports_for
from tracker.loading.differences import source_differences
from tracker.loading.fetch import FOR_MODEL, fetch, is_local, verified
from tracker.loading.report import LoadReport
from tracker.loading.restore import rebuild
from tracker.loading.versions import version_changes
from tracker.types import Architecture, CheckpointRecord


def explain(
    record: CheckpointRecord,
    *,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    verify: bool = True,
    weights: bool = True,
) -> LoadReport:
    """Rebuild the model of a checkpoint on the CPU and report how; that it fails is in the report.

    Args:
        record: The checkpoint.
        trust: See `restore.restore_model`.
        classes: See `restore.restore_model`.
        verify: See `restore.restore_model`.
        weights: Whether to read the weights; without them only the architecture is rebuilt.

    Raises:
        InvalidArgumentError: ``trust`` or ``classes`` is not usable.
    """
    parse_trust(trust)
    check_classes(classes)
    title = f"{record.name} of run {record.run_id}: {record.model_text}"
    try:
        groups = FOR_MODEL if weights else ("architecture",)
        stored = fetch(record, groups, check=verified(groups) if verify else None)
        imports = imports_for(stored, trust=trust, classes=classes, local=is_local(record))
    except TrackerError as error:
        return LoadReport(record.id, title, error=_told(error))
    report = _from_manifest(LoadReport(record.id, title), stored.manifest)
    try:
        restored = rebuild(stored, imports, torch.device("cpu"), verify=verify, weights=weights)
    except Exception as error:  # noqa: BLE001 - whatever the model's own code raises is reported
        report = replace(report, error=_told(error))
    else:
        tensors, size = _verified(stored.manifest, weights) if verify else (0, 0)
        report = replace(
            report,
            **_way(stored.manifest.architecture, imports),
            tensors=tensors,
            size=size,
            example=restored.example,
        )
    return replace(
        report,
        tried=(*map(str, stored.manifest.architecture.problems), *imports.tried),
        classes=dict(imports.found),
        diffs=source_differences(imports),
    )


def _told(error: Exception) -> str:
    notes: list[str] = getattr(error, "__notes__", [])
    return "\n".join([f"{type(error).__name__}: {error}", *notes])


def _from_manifest(report: LoadReport, manifest: Manifest) -> LoadReport:
    packages = manifest.environment.get("packages")
    versions = {"python": manifest.environment.get("python")}
    versions |= packages if isinstance(packages, dict) else {}
    return replace(
        report,
        source={entry.module: entry.path for entry in manifest.source},
        packages={name: version for name, version in versions.items() if isinstance(version, str)},
        versions=version_changes(manifest.environment),
    )


def _way(architecture: Architecture, imports: Imports) -> dict[str, Any]:
    """Return which description led to the model, and where its constructor ran."""
    if architecture.rebuild == "constructor" and not imports.tried:
        return {"rebuilt": "constructor", "device": proven_device(architecture.constructor)}
    return {"rebuilt": "structure"}


def _verified(manifest: Manifest, weights: bool) -> tuple[int, int]:
    """Return how many tensors, and bytes of them, are compared with their digests in a load."""
    groups = ("model", "architecture", "example") if weights else ("architecture",)
    sizes = [
        prod(entry.shape) * DTYPES[entry.dtype].torch.itemsize
        for group in groups
        for entry in manifest.tensors.get(group, {}).values()
        if entry.same_as is None
    ]
    return len(sizes), sum(sizes)
