"""Distributed training: every rank calls `log_checkpoint`, rank 0 writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .processes import PYTHON, environment, finish, place, start, tracker_json

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
