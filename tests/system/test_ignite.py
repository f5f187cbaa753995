"""Ignite in two processes: every rank calls the handler, rank 0 writes, all ranks resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .processes import PYTHON, environment, finish, place, start, tracker_json

pytestmark = pytest.mark.system

TRAIN = """
import json, os, signal, sys
import ignite.distributed as idist
import torch
import tracker
from ignite.engine import Events, create_supervised_trainer
from ignite.handlers import Checkpoint
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from tracker.demo.digits import digits
from tracker.integrations.ignite import TrackerSaver, resume_latest

rank, meeting, dies = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "dies"
idist.initialize("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
torch.set_num_threads(1)
torch.manual_seed(rank)
data = TensorDataset(*digits()["train"])
sampler = DistributedSampler(data, shuffle=True, seed=7)
loader = DataLoader(data, batch_size=128, sampler=sampler)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
model = idist.auto_model(net)
optimizer = idist.auto_optim(torch.optim.Adam(model.parameters(), lr=0.01))
trainer = create_supervised_trainer(model, optimizer, functional.cross_entropy)
trainer.add_event_handler(Events.EPOCH_STARTED, lambda: sampler.set_epoch(trainer.state.epoch))
to_save = {"model": model, "optimizer": optimizer, "trainer": trainer}
handler = Checkpoint(to_save, TrackerSaver(to_save), n_saved=1)
trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
if dies:
    trainer.add_event_handler(
        Events.ITERATION_STARTED(once=13),
        lambda: (tracker.flush(), os.kill(os.getpid(), signal.SIGKILL)),
    )
found = resume_latest(to_save)
trainer.run(loader, max_epochs=4)
sums = [parameter.double().sum().item() for parameter in net.parameters()]
print(json.dumps([found.epoch if found else None, sums]))
idist.finalize()
"""


def train(directory: Path, name: str, how: str = "") -> list[tuple[int, str]]:
    """Run two ranks; return the exit status and output of each."""
    ranks = [
        start(
            *(PYTHON, "-c", TRAIN, str(rank), str(directory / name), how),
            directory=directory,
            variables=environment(directory),
        )
        for rank in range(2)
    ]
    done = [finish(process) for process in ranks]
    for each in done:
        assert each.returncode in (0, -9), each.stderr
    return [(each.returncode, each.stdout) for each in done]


def test_two_ranks_that_were_killed_go_on_as_if_they_had_not_been(
    tmp_path: Path, database_template: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for directory in (whole, broken):
        directory.mkdir()
        place(database_template, directory)
    expected = [json.loads(out) for _, out in train(whole, "meeting")]
    assert [status for status, _ in train(broken, "meeting", "dies")] == [-9, -9]
    resumed = [json.loads(out) for _, out in train(broken, "again")]

    assert [epoch for epoch, _ in resumed] == [2, 2]
    assert [sums for _, sums in resumed] == [sums for _, sums in expected]
    assert expected[0] == expected[1]
    (left,) = tracker_json("list", directory=whole, variables=environment(whole))
    assert left["epoch"] == 4
