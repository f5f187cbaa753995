"""Lightning in processes that are killed, in others that load, and in two that train together."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import mlflow
import pytest

from .processes import PYTHON, environment, finish, place, run, start, succeed

pytestmark = pytest.mark.system

MODULE = """
import lightning, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tracker.demo.digits import digits

class Digits(lightning.LightningModule):
    def __init__(self, hidden, dropout):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, 10),
        )

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

def loaders():
    train, val = digits()["train"], digits()["val"]
    train = TensorDataset(train.images[:256], train.labels[:256])
    return DataLoader(train, 64, shuffle=True), DataLoader(TensorDataset(*val), 300)

def trainer(*callbacks, **arguments):
    return lightning.Trainer(
        max_epochs=3, callbacks=list(callbacks), logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, **arguments,
    )

def digest(module):
    from blake3 import blake3
    return blake3(b"".join(v.numpy().tobytes() for v in module.state_dict().values())).hexdigest()
"""

TRAIN = """
import json, os, signal, sys
import lightning, tracker
from tracker.integrations.lightning import TrackerCheckpoint
from digits_module import Digits, digest, loaders, trainer

class Dies(lightning.Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 6:
            tracker.flush()
            os.kill(os.getpid(), signal.SIGKILL)

how, seed, run_id = sys.argv[1], int(sys.argv[2]), sys.argv[3]
lightning.seed_everything(seed, verbose=False)
callback = TrackerCheckpoint(monitor="val_loss", save_top_k=-1, run_id=run_id)
training = trainer(callback, *([Dies()] if how == "dies" else []))
module = Digits(16, dropout=0.2)
training.fit(module, *loaders(), ckpt_path="last" if how == "resumes" else None)
print(json.dumps({"digest": digest(module), "best": callback.best_model_path}))
"""

LOAD = """
import sys, torch, tracker
model = tracker.load_model(sys.argv[1])
print(type(model).__name__, model(torch.zeros(2, 1, 8, 8)).shape[1])
"""

TOGETHER = """
import json, sys
import lightning, torch, tracker
from tracker.integrations.lightning import TrackerCheckpoint
from digits_module import Digits, digest, loaders, trainer

def train(ckpt_path=None):
    lightning.seed_everything(0, verbose=False)
    callback = TrackerCheckpoint(save_top_k=-1)
    training = trainer(callback, devices=2, strategy="ddp")
    module = Digits(16, dropout=0.2)
    training.fit(module, *loaders(), ckpt_path=ckpt_path)
    return callback, digest(module)

callback, whole = train()
_, resumed = train(f"runs:/{callback.best_model_path.split('/')[1]}/epoch-0-step-2")
print(json.dumps({
    "whole": whole, "resumed": resumed, "run": callback.run_id,
    "checkpoints": len(tracker.search_checkpoints(run_id=callback.run_id)),
}))
"""


@pytest.fixture
def home(database_template: Path, tmp_path: Path) -> Path:
    place(database_template, tmp_path)
    (tmp_path / "digits_module.py").write_text(MODULE)
    for name, text in (("train", TRAIN), ("load", LOAD), ("together", TOGETHER)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def last_line(text: str) -> Any:
    return json.loads(text.strip().splitlines()[-1])


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(home: Path) -> None:
    variables = environment(home)
    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    ids = [client.create_run("0").info.run_id for _ in range(2)]
    whole = last_line(
        succeed(PYTHON, "train.py", "whole", "0", ids[0], directory=home, variables=variables)
    )
    dead = run(PYTHON, "train.py", "dies", "0", ids[1], directory=home, variables=variables)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    resumed = last_line(
        succeed(PYTHON, "train.py", "resumes", "7", ids[1], directory=home, variables=variables)
    )
    assert resumed["digest"] == whole["digest"]
    assert Path(resumed["best"]).name == Path(whole["best"]).name
    # In a process that knows neither the script nor its arguments, the model is there.
    loaded = succeed(PYTHON, "load.py", resumed["best"], directory=home, variables=variables)
    assert loaded.split() == ["Digits", "10"]


def test_two_processes_train_together_and_all_resume(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "digits",
    }
    ranks = [
        start(
            PYTHON,
            "together.py",
            directory=home,
            variables=environment(home, **common, RANK=str(rank), LOCAL_RANK=str(rank)),
        )
        for rank in range(2)
    ]
    done = [finish(process) for process in ranks]
    assert [each.returncode for each in done] == [0, 0], "\n".join(each.stderr for each in done)
    first, second = (last_line(each.stdout) for each in done)
    assert first == second
    assert first["whole"] == first["resumed"]
    assert first["checkpoints"] == 3
