"""``tracker verify`` reads every byte again and says which checkpoints are damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from click.testing import CliRunner, Result

from tests.cli.running import invoke, refused
from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.cli import cli

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def two() -> list[Checkpoint]:
    """Two epochs of one run; the second refers to the first for all but one bias."""
    mlflow.set_experiment("digits")
    with mlflow.start_run():
        model = Net(hidden=64)
        first = log(model, epoch=1)
        with torch.no_grad():
            model.head.bias += 1
        return [first, log(model, epoch=2)]


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *arguments], catch_exceptions=False)


def files(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def flip(file: Path, position: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def test_a_line_says_what_was_read(two: list[Checkpoint]) -> None:
    done = invoke("verify", two[0].id)
    lines = done.output.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        f"ok      {two[0].id}: epoch-1 of run {two[0].run_id}, Net(hidden=64): 4 tensors, "
    )


def test_one_flipped_bit_is_found_and_the_others_are_read_all_the_same(
    two: list[Checkpoint],
) -> None:
    other = log(Net(hidden=4), epoch=3)
    flip(files(two[0]) / "model.safetensors")
    done = verify(two[0].id, other.id)
    assert done.exit_code == 1
    damaged, whole = done.output.splitlines()
    assert damaged.startswith(f"DAMAGED {two[0].id}: epoch-1 of run ")
    assert "model.safetensors: tensor" in damaged
    assert whole.startswith(f"ok      {other.id}: ")


@pytest.mark.parametrize("file", ["checkpoint.json", "MLmodel", "source"])
def test_every_file_counts(two: list[Checkpoint], file: str) -> None:
    path = files(two[0]) / file
    flip(path / "tests" / "models.py" if path.is_dir() else path)
    assert verify(two[0].id).output.startswith("DAMAGED ")


def test_damage_in_an_earlier_checkpoint_is_damage_in_those_that_refer_to_it(
    two: list[Checkpoint],
) -> None:
    flip(files(two[0]) / "model.safetensors", position=2000)
    found = json.loads(verify(two[1].id, "--json").stdout)
    assert [each["condition"] for each in found] == ["damaged"]
    assert two[0].id in found[0]["reason"]
    shutil.rmtree(files(two[0]))
    assert verify(two[1].id).output.startswith(f"MISSING {two[1].id}: ")


def test_all_are_read_or_all_of_an_experiment(two: list[Checkpoint]) -> None:
    mlflow.set_experiment("letters")
    with mlflow.start_run():
        other = log(Net(hidden=4), epoch=1)
    assert len(invoke("verify", "--all").output.splitlines()) == 3
    assert invoke("verify", "--all", "--experiment", "letters").output.startswith(
        f"ok      {other.id}: "
    )


def test_one_that_is_not_there_keeps_nobody_from_being_read(two: list[Checkpoint]) -> None:
    done = verify("m-nothing", two[0].id)
    assert done.exit_code == 1
    missing, whole = done.output.splitlines()
    assert missing.startswith("MISSING m-nothing: There is no checkpoint with the id")
    assert whole.startswith("ok ")


def test_json_says_how_much_was_read(two: list[Checkpoint]) -> None:
    first, second = json.loads(invoke("verify", two[0].id, two[1].id, "--json").stdout)
    assert (first["condition"], first["tensors"], first["reason"]) == ("ok", 4, "")
    assert second["tensors"] == 4  # the one of 16 kB lies with the first checkpoint
    assert second["size"] > 64 * 64 * 4


def test_nothing_named_is_refused() -> None:
    assert refused("verify") == "Name checkpoints, or give --all."
    assert "--all takes all there are" in refused("verify", "m-0a", "--all")
    assert "--all takes all there are" in refused("verify", "--latest", "--all")
