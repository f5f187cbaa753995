"""Distributed training: every rank calls `log_checkpoint`.

Of a model that each has whole rank 0 writes; one that is spread over them (FSDP2, tensor parallel,
both) they write together.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from torch.distributed.checkpoint import HuggingFaceStorageReader

import tracker
from tracker.loading.verify import verify

from .processes import (
    PYTHON,
    environment,
    finish,
    mlflow_server,
    place,
    start,
    tracker_json,
)
from .spread_training import Net

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system

TRAIN = """
import sys
import torch.distributed
import tracker
from torch import nn
from torch.nn.parallel import DistributedDataParallel

rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", "file://" + sys.argv[2], rank=rank, world_size=2)
model = DistributedDataParallel(nn.Linear(3, 2))
for epoch in range(2):
    pending = tracker.log_checkpoint(model, epoch=epoch, metrics={"loss": rank}, wait=True)
assert pending.done()
if rank == 0:
    print(pending.result().model_class)
else:
    print(type(pending.exception()).__name__, pending.exception())
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_every_rank_but_the_first_writes_nothing(tmp_path: Path, database_template: Path) -> None:
    place(database_template, tmp_path)
    variables = environment(tmp_path)
    ranks = [
        start(
            PYTHON,
            "-c",
            TRAIN,
            str(rank),
            str(tmp_path / "meeting"),
            directory=tmp_path,
            variables=variables,
        )
        for rank in range(2)
    ]
    first, second = [finish(process) for process in ranks]
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.strip() == "torch.nn.modules.linear:Linear"
    assert "InvalidArgumentError This process is rank 1 of 2" in second.stdout
    found = tracker_json("list", directory=tmp_path, variables=variables)
    assert [(each["epoch"], each["metrics"]) for each in found] == [
        (1, {"loss": 0.0}),
        (0, {"loss": 0.0}),
    ]
    assert len({each["run_id"] for each in found}) == 1


Said = list[dict[str, Any]]


def train(
    directory: Path,
    size: int,
    seconds: float = 40,
    uri: str = "",
    machines: bool = False,
    **order: Any,
) -> Said:
    """Train in several processes; return what each said, nothing of one that was killed.

    With ``machines`` each has a spool that lies at the same path in all, and is its own: as on
    machines that share no folder.
    """
    variables = environment(
        directory,
        TRACKER_DISTRIBUTED_TIMEOUT=str(seconds),
        PYTHONPATH=str(ROOT),
        OMP_NUM_THREADS="1",
        **({"MLFLOW_TRACKING_URI": uri} if uri else {}),
        **({"TRACKER_SPOOL_DIR": "/proc/self/cwd/spool"} if machines else {}),
    )
    homes = [directory / f"machine-{rank}" if machines else directory for rank in range(size)]
    for home in homes:
        home.mkdir(exist_ok=True)
    meeting = directory / f"meeting-{uuid.uuid4().hex}"
    program = (PYTHON, "-m", "tests.system.spread_training")
    ranks = [
        start(
            *program,
            str(rank),
            str(size),
            str(meeting),
            json.dumps(order),
            directory=homes[rank],
            variables=variables,
        )
        for rank in range(size)
    ]
    done = [finish(process) for process in ranks]
    killed = order.get("killed")
    problems = [d.stderr for n, d in enumerate(done) if d.returncode and n != killed]
    assert not problems, problems[0][-3000:]
    return [{} if n == killed else said_by(each.stdout) for n, each in enumerate(done)]


def said_by(printed: str) -> dict[str, Any]:
    (line,) = [line for line in printed.splitlines() if line.startswith('{"rank"')]
    said: dict[str, Any] = json.loads(line)
    return said


@pytest.fixture(scope="module")
def trained(shared_workplace: Path) -> Said:
    """What two processes said that have trained three epochs, spread by ``fully_shard``."""
    return train(shared_workplace, 2, spread="fsdp", epochs=3)


def logged(trained: Said, epoch: int) -> tracker.Checkpoint:
    (found,) = [
        each
        for each in tracker.search_checkpoints(f"epoch = {epoch}")
        if each.id == trained[0]["outcomes"][epoch]
    ]
    return found


def directory_of(checkpoint: tracker.Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri.removeprefix("file://"))


def test_every_process_is_told_of_the_same_checkpoints(trained: Said) -> None:
    first, second = (each["outcomes"] for each in trained)
    assert first == second
    assert [each.epoch for each in tracker.search_checkpoints()][::-1] == [0, 1, 2]


def test_every_process_writes_a_file_of_its_own(trained: Said) -> None:
    files = {path.name for path in directory_of(logged(trained, 1)).glob("*.safetensors")}
    assert files == {
        "architecture.safetensors",
        "model.safetensors",
        "model-rank-00000.safetensors",
        "model-rank-00001.safetensors",
        "training.safetensors",
        "training-rank-00000.safetensors",
        "training-rank-00001.safetensors",
    }


def test_one_process_alone_loads_the_plain_model(trained: Said) -> None:
    checkpoint = logged(trained, 1)
    model = checkpoint.load_model()
    assert type(model) is Net
    assert checkpoint.record.rebuild == "constructor"
    assert model(torch.zeros(3, 64)).shape == (3, 10)
    assert not any(hasattr(tensor, "placements") for tensor in model.state_dict().values())


def test_torch_reads_the_files_with_its_own_reader(trained: Said) -> None:
    checkpoint = logged(trained, 1)
    expected = checkpoint.load_state_dict()
    read = {key: torch.zeros_like(tensor) for key, tensor in expected.items()}
    del read["blocks.0.up.weight"]
    dcp.load(
        read, storage_reader=HuggingFaceStorageReader(str(directory_of(checkpoint))), no_dist=True
    )
    assert all(torch.equal(tensor, expected[key]) for key, tensor in read.items())


def test_what_can_be_done_with_a_checkpoint_can_be_done_with_one_of_parts(
    trained: Said, tmp_path: Path
) -> None:
    checkpoint, later = logged(trained, 1), logged(trained, 2)
    assert verify(checkpoint.record).condition == "ok"
    assert checkpoint.explain().rebuilt == "constructor"
    assert {each.state for each in checkpoint.diff(checkpoint).tensors} <= {"equal"}
    assert "changed" in {each.state for each in checkpoint.diff(later).tensors}
    checkpoint.export(tmp_path / "weights.safetensors")
    expected = checkpoint.load_state_dict()
    exported = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(exported[key], tensor) for key, tensor in expected.items())
    version = tracker.register(checkpoint, "spread")
    registered = tracker.load_model(f"models:/spread/{version.version}").state_dict()
    assert all(torch.equal(registered[key], tensor) for key, tensor in expected.items())


def test_a_damaged_part_is_noticed(trained: Said) -> None:
    checkpoint = logged(trained, 0)
    path = directory_of(checkpoint) / "model-rank-00001.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(tracker.TrackerError, match=r"model-rank-00001.*differs"):
            checkpoint.load_model()
    finally:
        path.write_bytes(whole)


def test_training_goes_on_bit_for_bit_in_as_many_processes(
    trained: Said, shared_workplace: Path
) -> None:
    resumed = train(shared_workplace, 2, spread="fsdp", epochs=3, resume=trained[0]["outcomes"][1])
    assert resumed[0]["resumed"] == 1
    assert resumed[0]["final"] == trained[0]["final"]


@pytest.mark.parametrize(("size", "spread"), [(4, "fsdp"), (4, "2d"), (1, "alone")])
def test_another_number_of_processes_gets_the_same_numbers(
    trained: Said, shared_workplace: Path, size: int, spread: str
) -> None:
    resumed = train(
        shared_workplace, size, spread=spread, epochs=0, resume=trained[0]["outcomes"][2]
    )
    assert {each["after_resume"] for each in resumed} == {trained[0]["final"]}


def test_two_dimensions_go_on_bit_for_bit_and_plain_weights_are_spread(
    database_template: Path, tmp_path: Path
) -> None:
    place(database_template, tmp_path)
    four = train(tmp_path, 4, spread="2d", epochs=2)
    again = train(tmp_path, 4, spread="2d", epochs=2, resume=four[0]["outcomes"][0])
    assert again[0]["final"] == four[0]["final"]
    alone = train(tmp_path, 1, spread="alone", epochs=1)
    spread = train(tmp_path, 2, spread="tp", epochs=0, resume=alone[0]["outcomes"][0])
    assert {each["after_resume"] for each in spread} == {alone[0]["final"]}


def states(directory: Path) -> list[str]:
    """Return the states of all logged models, the latest last."""
    names = {1: "PENDING", 2: "READY", 3: "FAILED"}
    with contextlib.closing(sqlite3.connect(directory / "mlflow.db")) as connection:
        found = connection.execute(
            "SELECT status FROM logged_models ORDER BY creation_timestamp_ms"
        )
        return [names[status] for (status,) in found]


def manifests(directory: Path) -> list[Path]:
    return [*directory.rglob("checkpoint.json")]


def kept_shards(directory: Path, rank: int) -> Path:
    """Return the folder in which a process of two has kept what it held of epoch 0."""
    (kept,) = (directory / "spool" / "shards").iterdir()
    assert kept.name.startswith(f"epoch-0-rank-{rank}-of-2-")
    assert json.loads((kept / "shards.json").read_text())["rank"] == rank
    return kept


@pytest.mark.parametrize(
    ("killed", "at", "left"),
    [(1, "copied", []), (1, "named", ["FAILED"]), (0, "on the disk", ["PENDING"])],
)
def test_a_process_that_is_killed_leaves_no_checkpoint_and_nobody_hanging(
    database_template: Path, tmp_path: Path, killed: int, at: str, left: list[str]
) -> None:
    place(database_template, tmp_path)
    said = train(tmp_path, 2, 6, spread="fsdp", epochs=1, killed=killed, killed_in=0, killed_at=at)
    (told,) = said[1 - killed]["outcomes"]
    assert told.startswith("DistributedError: ")
    assert f"rank {killed}" in told.lower()
    assert "within 6 seconds" in told
    assert states(tmp_path) == left
    assert manifests(tmp_path) == []
    kept = kept_shards(tmp_path, 1 - killed)
    assert str(kept) in told
    assert load_file(kept / f"model-rank-0000{1 - killed}.safetensors")["first.weight"].numel()


def test_all_are_told_when_one_process_fails_or_does_not_take_part(
    database_template: Path, tmp_path: Path
) -> None:
    place(database_template, tmp_path)
    first, second = train(tmp_path, 2, spread="fsdp", epochs=1, bad=1)
    assert second["raised"] == [
        "InvalidMetricError: The metric 'loss' is 'bad', a str; expected one real number."
    ]
    assert "Rank 1 failed: InvalidMetricError" in first["outcomes"][0]
    first, second = train(tmp_path, 2, 2, spread="fsdp", epochs=1, silent=1)
    assert "log_checkpoint was not called by rank 1 of 2" in first["outcomes"][0]
    assert states(tmp_path) == []
    assert manifests(tmp_path) == []


def test_a_server_gets_what_they_wrote_together(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as (uri, _):
        first, second = train(tmp_path, 2, spread="fsdp", epochs=1, uri=uri)
        assert first["outcomes"] == second["outcomes"]
        alone = train(tmp_path, 1, spread="alone", epochs=0, uri=uri, resume=first["outcomes"][0])
        assert alone[0]["after_resume"] == first["final"]
        assert manifests(tmp_path / "spool") == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """An MLflow server that keeps the artifacts itself, and its folder."""
    directory = tmp_path_factory.mktemp("server")
    with mlflow_server(directory, "--serve-artifacts") as (uri, _):
        yield directory, uri


several_machines = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="there is no path that is another's in each process"
)


@several_machines
def test_machines_that_share_no_folder_send_each_its_own_part(server: tuple[Path, str]) -> None:
    directory, uri = server
    first, second = train(directory, 2, spread="fsdp", epochs=2, uri=uri, machines=True)
    assert first["outcomes"] == second["outcomes"]
    assert states(directory) == ["READY", "READY"]
    assert [*directory.rglob("*/spool/*/checkpoint")] == []
    assert [*(directory / "machine-1" / "spool").iterdir()] == []
    last = first["outcomes"][1]
    alone = train(directory, 1, spread="alone", epochs=0, uri=uri, resume=last)
    assert alone[0]["after_resume"] == first["final"]
    half = first["outcomes"][0]
    again = train(directory, 2, spread="fsdp", epochs=2, uri=uri, machines=True, resume=half)
    assert [each["resumed"] for each in again] == [0, 0]
    assert again[0]["final"] == first["final"]


@several_machines
def test_a_machine_that_dies_while_it_sends_leaves_no_checkpoint_and_the_other_its_shards(
    server: tuple[Path, str],
) -> None:
    directory, uri = server
    said = train(
        *(directory, 2, 6, uri, True),
        spread="fsdp",
        epochs=1,
        killed=1,
        killed_in=0,
        killed_at="part sent",
    )
    (told,) = said[0]["outcomes"]
    assert told.startswith("DistributedError: ")
    assert "rank 1 of 2" in told
    assert states(directory)[-1] == "FAILED"
    kept = kept_shards(directory / "machine-0", 0)
    assert f"/proc/self/cwd/spool/shards/{kept.name}" in told
    assert load_file(kept / "model-rank-00000.safetensors")["first.weight"].shape == (6, 64)


def test_without_a_server_it_waits_in_the_spool_whole(tmp_path: Path) -> None:
    first, second = train(
        tmp_path, 2, spread="fsdp", epochs=1, uri="http://127.0.0.1:9", offline=True
    )
    assert "TRACKER_OFFLINE" in first["outcomes"][0]
    assert "TRACKER_OFFLINE" in second["outcomes"][0]
    assert len(manifests(tmp_path / "spool")) == 1


def test_every_process_of_ddp_goes_on_bit_for_bit_from_what_the_first_wrote(
    database_template: Path, tmp_path: Path
) -> None:
    place(database_template, tmp_path)
    first, second = train(tmp_path, 2, spread="ddp", epochs=2)
    assert "rank 0 alone writes" in second["outcomes"][0]
    # Each draws random numbers of its own, for its images and what is dropped out.
    resumed = train(tmp_path, 2, spread="ddp", epochs=2, resume=first["outcomes"][0])
    assert [each["final"] for each in resumed] == [first["final"], second["final"]]
