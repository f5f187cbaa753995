"""A training that is easily checked: after k steps all that it changes follows from k.

Every parameter that is trained has the gradient -1, so momentum is -k and the parameter k(k+1)/2,
exactly. A checkpoint of two instants, or a resumed training that is not what it was, has none.
"""

from __future__ import annotations

from collections.abc import Callable

import mlflow
import torch
from torch import Tensor, nn

import tracker
from tracker.errors import NotFoundError

EPOCHS = 2
"""How many epochs a process trains."""

CHECKPOINTS = EPOCHS + 1
"""How many checkpoints it logs: one each epoch, and the last epoch's once more."""


class Net(nn.Module):
    """A backbone that is frozen, so that later checkpoints refer to the first one's, and a head."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.backbone = nn.Linear(width, width).requires_grad_(False)
        self.head = nn.Linear(width, width // 2)
        for tensor in (*self.backbone.parameters(), *self.head.parameters()):
            nn.init.zeros_(tensor)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.backbone(x)))


class Training:
    """A model, its optimizer, and how many steps they have made."""

    def __init__(self) -> None:
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.head.parameters(), lr=1.0, momentum=1.0)

    def step(self) -> None:
        self.optimizer.zero_grad()
        (-sum(p.sum() for p in self.model.head.parameters())).backward()
        self.optimizer.step()

    def check(self, steps: int) -> None:
        """Raise AssertionError unless everything is as it is after so many steps."""
        for parameter in self.model.head.parameters():
            momentum = self.optimizer.state[parameter]["momentum_buffer"]
            assert (parameter == steps * (steps + 1) / 2).all(), f"not of step {steps}"
            assert (momentum == -steps).all(), f"momentum is not of step {steps}"


def metrics(epoch: int) -> dict[str, float]:
    return {"loss": 1 / (epoch + 1), "accuracy": epoch / (epoch + 1)}


def resume(checkpoint: tracker.Checkpoint) -> Training:
    """Return the training as it was at a checkpoint, checked."""
    training = Training()
    checkpoint.resume(model=training.model, optimizer=training.optimizer)
    assert checkpoint.epoch is not None
    training.check(checkpoint.epoch + 1)
    return training


def train(begun: Callable[[], None], *, anew: bool = False) -> None:
    """Train on where the newest checkpoint stands, in its run; call ``begun`` before the first.

    With ``anew``, in a run of its own whatever there is.
    """
    latest = None if anew else newest()
    if latest is None:
        training, first, run_id = Training(), 0, None
    else:
        assert latest.epoch is not None
        training, first, run_id = resume(latest), latest.epoch + 1, latest.run_id
    # MLflow ends the run at the end of the process, and bears that its server is gone then.
    mlflow.start_run(run_id=run_id)
    begun()
    for epoch in range(first, first + EPOCHS):
        training.step()
        log(training, epoch)
    log(training, epoch)


def newest() -> tracker.Checkpoint | None:
    try:
        return tracker.get_checkpoint()
    except NotFoundError:
        return None


def log(training: Training, epoch: int) -> None:
    tracker.log_checkpoint(
        training.model, epoch=epoch, metrics=metrics(epoch), optimizer=training.optimizer
    )
