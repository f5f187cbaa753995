"""Checkpoint records for the catalog's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracker.types import CheckpointRecord

_EXAMPLE = CheckpointRecord(
    id="m-1",
    run_id="run-1",
    experiment_id="7",
    experiment="digits",
    name="epoch-1",
    epoch=1,
    step=100,
    metrics={"val_loss": 0.5},
    params={"depth": "7"},
    tags={},
    model_class="models.net:Net",
    model_text="Net(depth=7)",
    rebuild="constructor",
    size=1_000,
    created_at=1_700_000_000_000,
    artifact_uri="/artifacts/models/m-1/artifacts",
    manifest_digest="0" * 64,
)


def record(number: int, **changes: Any) -> CheckpointRecord:
    """A checkpoint of epoch ``number``: later numbers were made later, a second each."""
    given = {
        "id": f"m-{number}",
        "name": f"epoch-{number}",
        "epoch": number,
        "step": 100 * number,
        "created_at": _EXAMPLE.created_at + 1_000 * number,
        **changes,
    }
    return replace(_EXAMPLE, **given)
