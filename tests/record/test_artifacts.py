from __future__ import annotations

from pathlib import Path

import pytest

from tracker.record import artifacts


@pytest.mark.parametrize(
    ("uri", "directory"),
    [
        ("/data/mlruns/1", Path("/data/mlruns/1")),
        ("file:///data/mlruns/1", Path("/data/mlruns/1")),
        ("file:/data/mlruns/1", Path("/data/mlruns/1")),
        ("file:///data/my%20runs/1", Path("/data/my runs/1")),
        ("mlruns/1", Path("mlruns/1")),
        ("C:/runs", Path("C:/runs")),
        ("s3://bucket/1", None),
        ("mlflow-artifacts:/1/models", None),
        ("http://host/api", None),
        ("dbfs:/mlflow", None),
    ],
)
def test_local_stores_are_told_from_remote_ones(uri: str, directory: Path | None) -> None:
    assert artifacts.local_directory(uri) == directory
