"""A process that is killed leaves a whole checkpoint or none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from .processes import (
    PYTHON,
    TRACKER,
    environment,
    kill,
    place,
    run,
    start,
    succeed,
    tracker_json,
    wait_until,
)

pytestmark = pytest.mark.system

LOG = """
import sys
import tracker
from torch import nn

run, width = sys.argv[1:]
model = nn.Linear(int(width), int(width))
for epoch in range(2):
    tracker.log_checkpoint(nn.Linear(3, 3), epoch=epoch, metrics={"loss": 1.0})
tracker.log_checkpoint(model, epoch=2, metrics={"loss": 0.0})
"""


def epochs(directory: Path, variables: dict[str, str]) -> list[int]:
    found = tracker_json("list", directory=directory, variables=variables)
    return [each["epoch"] for each in found]


def test_killed_while_the_files_are_written(tmp_path: Path, database_template: Path) -> None:
    place(database_template, tmp_path)
    variables = environment(tmp_path)
    process = start(PYTHON, "-c", LOG, "-", "8192", directory=tmp_path, variables=variables)
    models = tmp_path / "mlruns"
    wait_until(lambda: any(f.stat().st_size > 1 << 20 for f in _partial(models)), process)
    kill(process)

    assert list(_partial(models)), "it was too late to be a test"
    assert epochs(tmp_path, variables) == [1, 0]
    assert tracker_json("best", "loss", directory=tmp_path, variables=variables)["epoch"] == 0
    succeed(TRACKER, "reindex", directory=tmp_path, variables=variables)
    assert epochs(tmp_path, variables) == [1, 0]
    loading = "import tracker; print(tracker.get_checkpoint(epoch=1).load_model())"
    assert "Linear" in succeed(PYTHON, "-c", loading, directory=tmp_path, variables=variables)

    succeed(PYTHON, "-c", LOG, "-", "8", directory=tmp_path, variables=variables)
    assert epochs(tmp_path, variables) == [2, 1, 0, 1, 0]


def _partial(folder: Path) -> list[Path]:
    return list(folder.rglob("*.partial"))


def test_killed_between_ready_and_the_catalogs_row(tmp_path: Path, database_template: Path) -> None:
    place(database_template, tmp_path)
    # The catalog in a database of its own, so that it can be locked while MLflow's is not.
    catalog = tmp_path / "catalog.db"
    variables = environment(tmp_path, TRACKER_CATALOG_URI=f"sqlite:///{catalog}")
    succeed(PYTHON, "-c", LOG, "-", "8", directory=tmp_path, variables=variables)

    lock = sqlite3.connect(catalog, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    process = start(PYTHON, "-c", LOG, "-", "8", directory=tmp_path, variables=variables)
    wait_until(lambda: _ready(tmp_path / "mlflow.db") == 4, process)
    kill(process)
    lock.execute("ROLLBACK")
    lock.close()

    assert epochs(tmp_path, variables) == [2, 1, 0]
    done = tracker_json("reindex", directory=tmp_path, variables=variables)
    assert done == {"checkpoints": 4}
    assert epochs(tmp_path, variables) == [0, 2, 1, 0]
    loading = "import tracker; print(tracker.get_checkpoint().load_model())"
    assert "Linear" in succeed(PYTHON, "-c", loading, directory=tmp_path, variables=variables)


def _ready(database: Path) -> int:
    """Count MLflow's READY logged models, past MLflow."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
    try:
        (count,) = connection.execute(
            "SELECT count(*) FROM logged_models WHERE status = 2"
        ).fetchone()
    finally:
        connection.close()
    return int(count)


def test_a_model_that_is_corrupted_later_is_refused_by_name(
    tmp_path: Path, database_template: Path
) -> None:
    place(database_template, tmp_path)
    variables = environment(tmp_path)
    succeed(PYTHON, "-c", LOG, "-", "8", directory=tmp_path, variables=variables)
    for file in (tmp_path / "mlruns").rglob("model.safetensors"):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    loading = "import tracker; tracker.get_checkpoint(epoch=1).load_model()"
    done = run(PYTHON, "-c", loading, directory=tmp_path, variables=variables)
    assert "CorruptCheckpointError" in done.stderr
    assert "model.safetensors: tensor 'weight' differs" in done.stderr
