"""A disk that is full, or a limit on files: an error that helps, and training loses nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import PYTHON, TRACKER, environment, place, run, succeed, tracker_json

pytestmark = pytest.mark.system

MIB = 1 << 20

NET = """
import sys
import torch
import tracker
from torch import nn
from tracker.errors import StorageError

class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size // 4))
"""

TRAIN = f"""
{NET}
small, large = Net(64 << 10), Net(int(sys.argv[1]))
tracker.log_checkpoint(small, epoch=0, metrics={{"loss": 1.0}}, wait=True)
optimizer = torch.optim.SGD(large.parameters(), lr=0.5)
pending = tracker.log_checkpoint(large, epoch=1, metrics={{"loss": 0.5}}, optimizer=optimizer)
large.weight.grad = torch.ones_like(large.weight)
optimizer.step()
try:
    pending.result()
except StorageError as error:
    print(error, *error.__notes__)
assert (large.weight == 0.5).all()
tracker.log_checkpoint(small, epoch=2, metrics={{"loss": 0.25}}, wait=True)
"""
"""Logs a checkpoint that is too large between two that are not."""

LIMIT_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))\n"

VERIFY = """
for checkpoint in tracker.search_checkpoints():
    checkpoint.load_model()
"""


@pytest.fixture
def variables(tmp_path: Path, database_template: Path) -> dict[str, str]:
    place(database_template, tmp_path)
    return environment(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB where MLflow's artifacts go."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    directory = tmp_path / "mlruns"
    directory.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)]
    mounted = subprocess.run(mounting, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not permitted: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def epochs(directory: Path, variables: dict[str, str]) -> list[int]:
    return [
        each["epoch"] for each in tracker_json("list", directory=directory, variables=variables)
    ]


def partial(directory: Path) -> list[Path]:
    return list(directory.rglob("*.partial"))


def waiting(directory: Path) -> list[Path]:
    return list((directory / "spool").glob("*/delivery.json"))


def test_a_full_disk_keeps_the_checkpoint_in_the_spool_until_there_is_room(
    small_disk: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    training = (PYTHON, "-c", TRAIN, str(16 * MIB))
    printed = succeed(*training, directory=tmp_path, variables=variables)
    assert re.search(
        rf"{small_disk}/.*model.safetensors: can't be written: the disk is full .*"
        r"It needs 16\d{6} bytes; \d+ are free there",
        printed,
    ), printed
    assert "kept in" in printed
    assert "`tracker sync`" in printed
    assert not partial(tmp_path)
    assert len(waiting(tmp_path)) == 1
    assert epochs(tmp_path, variables) == [2, 0]

    refused = run(TRACKER, "sync", directory=tmp_path, variables=variables)
    assert refused.returncode == 1
    assert "the disk is full" in " ".join(refused.stdout.split())
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    tracker_json("sync", directory=tmp_path, variables=variables)
    assert not waiting(tmp_path)
    assert sorted(epochs(tmp_path, variables)) == [0, 1, 2]
    succeed(PYTHON, "-c", NET + VERIFY, directory=tmp_path, variables=variables)


def test_a_spool_on_the_full_disk_too_is_said_and_training_goes_on(
    small_disk: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    variables = variables | {"TRACKER_SPOOL_DIR": str(small_disk / "spool")}
    training = (PYTHON, "-c", TRAIN, str(16 * MIB))
    printed = succeed(*training, directory=tmp_path, variables=variables)
    assert printed.count("the disk is full") == 2
    assert "Nor could the checkpoint be kept in the spool" in printed
    assert not partial(tmp_path)
    assert epochs(tmp_path, variables) == [2, 0]


def test_a_limit_on_the_size_of_files_is_said_and_training_goes_on(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    training = (PYTHON, "-c", LIMIT_FILES + TRAIN, str(16 * MIB))
    printed = succeed(*training, directory=tmp_path, variables=variables)
    assert re.search(
        r"model.safetensors: can't be written: the file is larger than .* allows .*"
        r"It needs 16\d{6} bytes",
        printed,
    ), printed
    assert "Nor could the checkpoint be kept in the spool" in printed
    assert not partial(tmp_path)
    assert epochs(tmp_path, variables) == [2, 0]
    succeed(TRACKER, "reindex", directory=tmp_path, variables=variables)
    assert epochs(tmp_path, variables) == [2, 0]
