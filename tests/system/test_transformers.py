"""Transformers' ``Trainer`` in processes of its own: killed, and several at once."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from .processes import PYTHON, environment, finish, kill, place, run, start, tracker_json

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]

TRAIN = """
import signal
import sys
import torch
torch.set_num_threads(1)
import tracker
import transformers
from tests.integrations.transformers_training import equal, trainer, weights
from tracker.integrations.transformers import TrackerCallback, checkpoint_folder


class Dying(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 40:
            tracker.flush()  # what was logged before is durable, whenever the end comes
            print("in the midst of epoch 3", flush=True)
            signal.pause()


callback = TrackerCallback(checkpoint_folders=False)
"""

KILLED = f"{TRAIN}\ntrainer(callback, Dying()).train()"

RESUMED = f"""{TRAIN}
resumed, whole = trainer(callback), trainer()
with checkpoint_folder(tracker.get_checkpoint()) as folder:
    resumed.train(resume_from_checkpoint=folder)
whole = trainer(save_strategy="no")
whole.train()
assert equal(weights(resumed.model), weights(whole.model))
ours, theirs = (made.optimizer.state_dict()["state"] for made in (resumed, whole))
assert ours.keys() == theirs.keys()
assert all(torch.equal(ours[n][k], theirs[n][k]) for n in ours for k in ours[n])
print(len(ours), "parameters are equal")
"""

LOAD = """
import tracker

best = tracker.best_checkpoint("eval_loss")
print(best.epoch, type(best.load_model()).__name__)
"""

TOGETHER = f"""{TRAIN}
import torch.distributed
options = {{"ddp_backend": "gloo", "num_train_epochs": 3, "load_best_model_at_end": True}}
whole = trainer(callback, **options, learning_rate=0.1)
whole.train()
resumed = trainer(callback, **options, learning_rate=0.1)
with checkpoint_folder(tracker.get_checkpoint(epoch=1)) as folder:
    resumed.train(resume_from_checkpoint=folder)
assert equal(weights(resumed.model), weights(whole.model))
a, b = ([e for e in made.state.log_history if "eval_loss" in e] for made in (resumed, whole))
assert [e["eval_loss"] for e in a] == [e["eval_loss"] for e in b]
print(float(sum(value.sum() for value in whole.model.state_dict().values())))
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def variables(tmp_path: Path, database_template: Path) -> dict[str, str]:
    place(database_template, tmp_path)
    return environment(tmp_path, PYTHONPATH=str(ROOT))


def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    training = start(
        PYTHON, "-c", KILLED, directory=tmp_path, variables=variables, stderr=subprocess.DEVNULL
    )
    assert training.stdout is not None
    assert any("in the midst" in line for line in training.stdout)
    kill(training)
    found = tracker_json("list", directory=tmp_path, variables=variables)
    assert [each["epoch"] for each in found] == [2, 1]
    resumed = run(PYTHON, "-c", RESUMED, directory=tmp_path, variables=variables)
    assert "parameters are equal" in resumed.stdout, resumed.stderr
    found = tracker_json("list", directory=tmp_path, variables=variables)
    assert [each["epoch"] for each in found] == [4, 3, 2, 1]
    assert len({each["run_id"] for each in found}) == 1
    loaded = run(PYTHON, "-c", LOAD, directory=tmp_path, variables=variables)
    assert loaded.stdout.split() == ["4", "ViTForImageClassification"], loaded.stderr


def test_two_processes_train_together_and_go_on_exactly(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {**variables, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    ranks = [
        start(
            PYTHON, "-c", TOGETHER, directory=tmp_path,
            variables={**together, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    first, second = [finish(process) for process in ranks]
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    # Both have loaded the best model.
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]
    found = tracker_json("list", directory=tmp_path, variables=variables)
    assert [each["epoch"] for each in found] == [3, 2, 1]
    assert len({each["run_id"] for each in found}) == 1
    assert os.listdir(tmp_path / "out") == []
