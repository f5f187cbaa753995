"""Several processes log at once: to one database, and to one run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .processes import PYTHON, environment, finish, listed, place, start, succeed

pytestmark = pytest.mark.system

LOG = """
import sys
import mlflow
import tracker
from torch import nn

run_id, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if run_id == "new":
    run_id = mlflow.start_run().info.run_id
print(run_id)
for epoch in range(first, first + 4 * step, step):
    tracker.log_checkpoint(
        nn.Linear(8, 8), epoch=epoch, metrics={"loss": 1 / (epoch + 1)}, run_id=run_id
    )
"""


def start_logging(
    directory: Path, variables: dict[str, str], *arguments: str
) -> subprocess.Popen[str]:
    return start(PYTHON, "-c", LOG, *arguments, directory=directory, variables=variables)


@pytest.fixture
def variables(tmp_path: Path, database_template: Path) -> dict[str, str]:
    """The environment of all the processes, which share MLflow's database."""
    place(database_template, tmp_path)
    return environment(tmp_path)


def test_four_processes_log_runs_of_their_own(tmp_path: Path, variables: dict[str, str]) -> None:
    processes = [start_logging(tmp_path, variables, "new", "0", "1") for _ in range(4)]
    done = [finish(process) for process in processes]
    assert [each.returncode for each in done] == [0] * 4, done[0].stderr
    runs = [each.stdout.split()[0] for each in done]
    assert listed(tmp_path, variables) == sorted((run, e) for run in runs for e in range(4))


def test_two_processes_log_different_epochs_of_one_run(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    making = "import mlflow; print(mlflow.start_run().info.run_id)"
    run = succeed(PYTHON, "-c", making, directory=tmp_path, variables=variables).split()[0]
    processes = [start_logging(tmp_path, variables, run, first, "2") for first in ("0", "1")]
    done = [finish(process) for process in processes]
    assert [each.returncode for each in done] == [0, 0], done
    assert listed(tmp_path, variables) == [(run, epoch) for epoch in range(8)]


def test_two_processes_log_the_same_epochs_of_one_run(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    making = "import mlflow; print(mlflow.start_run().info.run_id)"
    run = succeed(PYTHON, "-c", making, directory=tmp_path, variables=variables).split()[0]
    processes = [start_logging(tmp_path, variables, run, "0", "1") for _ in range(2)]
    done = [finish(process) for process in processes]
    assert [each.returncode for each in done] == [0, 0], done
    assert listed(tmp_path, variables) == [(run, epoch) for epoch in range(4)]
    loading = (
        "import tracker\nfor checkpoint in tracker.search_checkpoints(): checkpoint.load_model()"
    )
    succeed(PYTHON, "-c", loading, directory=tmp_path, variables=variables)
