"""A training that is killed in the middle of an epoch ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import same

from .processes import PYTHON, environment, finish, kill, place, start, succeed, tracker_json

pytestmark = pytest.mark.system

COMMON = """
import sys
import mlflow
import torch
import tracker
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
digits = load_digits()
data = TensorDataset(
    torch.tensor(digits.data[:512] / 16, dtype=torch.float32), torch.tensor(digits.target[:512])
)


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.first = nn.Linear(64, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(hidden, 10)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


def train(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def rest(epoch, batch):
    if sys.argv[1] == "rest" and (epoch, batch) == (2, 5):
        tracker.flush()  # so that there is something to go on from
        print("in the middle", flush=True)
        sys.stdin.read()


torch.manual_seed(0 if len(sys.argv) < 3 else int(sys.argv[2]))
mlflow.set_experiment("digits")
model = Net(hidden=24)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
"""

PLAIN = f"""{COMMON}
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
loader = DataLoader(data, batch_size=32, shuffle=True)
last = tracker.resume_latest(model=model, optimizer=optimizer, scheduler=scheduler)
with mlflow.start_run(run_id=last.run_id if last else None):
    for epoch in range(last.epoch + 1 if last else 0, 4):
        losses = []
        for batch, (x, y) in enumerate(loader):
            rest(epoch, batch)
            losses.append(train(x, y))
        scheduler.step()
        tracker.log_checkpoint(
            model, epoch=epoch, metrics={{"loss": sum(losses)}}, optimizer=optimizer,
            scheduler=scheduler,
        )
torch.save([model.state_dict(), optimizer.state_dict(), scheduler.state_dict()], "end.pt")
"""

IN_AN_EPOCH = f"""{COMMON}
from torchdata.stateful_dataloader import StatefulDataLoader

loader = StatefulDataLoader(data, batch_size=32, shuffle=True)
live = {{"model": model, "optimizer": optimizer, "state": {{"loader": loader}}}}
last = tracker.resume_latest(**live)
step = last.step if last else 0
total = last.state["total"] if last else 0.0
with mlflow.start_run(run_id=last.run_id if last else None):
    for epoch in range(step // len(loader), 4):
        for x, y in loader:
            rest(epoch, step % len(loader))
            total += train(x, y)
            step += 1
            if step % 3 == 0:
                tracker.log_checkpoint(
                    model, step=step, metrics={{"loss": total}}, optimizer=optimizer,
                    state={{"loader": loader, "total": total}},
                )
torch.save([model.state_dict(), optimizer.state_dict(), total], "end.pt")
"""


@pytest.mark.parametrize("script", [PLAIN, IN_AN_EPOCH], ids=["plain loop", "in an epoch"])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    script: str, tmp_path: Path, database_template: Path
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for directory in (straight, killed):
        directory.mkdir()
        place(database_template, directory)
        (directory / "train.py").write_text(script)

    variables = environment(straight)
    succeed(PYTHON, "train.py", "on", directory=straight, variables=variables)

    again = environment(killed)
    process = start(PYTHON, "train.py", "rest", directory=killed, variables=again, stdin=-1)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "in the middle\n", first + finish(process).stderr
    kill(process)
    assert not (killed / "end.pt").exists()
    before = checkpoints(killed, again)
    assert before
    # Another seed: nothing comes from the script, everything from the checkpoint.
    succeed(PYTHON, "train.py", "on", "99", directory=killed, variables=again)

    expected, found = checkpoints(straight, variables), checkpoints(killed, again)
    assert before.items() <= expected.items()
    assert found == expected
    assert same(*(torch.load(each / "end.pt") for each in (killed, straight)))


def checkpoints(directory: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Return the metrics of every checkpoint by its name; all are of one run."""
    listed = tracker_json("list", "--limit", "100", directory=directory, variables=variables)
    assert len({each["run_id"] for each in listed}) <= 1
    return {each["name"]: each["metrics"] for each in listed}
