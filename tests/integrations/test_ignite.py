"""Ignite's ``Checkpoint`` with tracker in the place of its ``DiskSaver``; on handwritten digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from ignite.engine import (
    DeterministicEngine,
    Engine,
    Events,
    create_supervised_evaluator,
    supervised_training_step,
)
from ignite.handlers import Checkpoint, DiskSaver, global_step_from_engine
from ignite.handlers.mlflow_logger import MLflowLogger
from ignite.handlers.param_scheduler import LinearCyclicalScheduler
from ignite.metrics import Accuracy, ConfusionMatrix, Loss
from mlflow.tracking import MlflowClient
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import tracker
from tests.training import same, state_of
from tracker.demo.digits import digits
from tracker.demo.train import DigitsNet
from tracker.errors import InvalidArgumentError, MismatchError, TrackerWarning
from tracker.integrations.ignite import TrackerSaver, load, resume, resume_latest

pytestmark = pytest.mark.usefixtures("workplace")


class Training:
    """A training of a small network, as Ignite's users write it; four batches make an epoch."""

    def __init__(
        self,
        kind: type[Engine] = Engine,
        seed: int = 0,
        loader: type[DataLoader[Any]] = DataLoader,
        workers: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        train, val = digits()["train"], digits()["val"]
        images = TensorDataset(train.images[:256], train.labels[:256])
        self.loader = loader(images, batch_size=64, shuffle=True, num_workers=workers)
        self.validation = DataLoader(TensorDataset(*val), batch_size=300)
        self.model = DigitsNet(channels=4, depth=1, dropout=0.2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=8)
        step = supervised_training_step(self.model, self.optimizer, functional.cross_entropy)
        self.trainer = kind(step)
        self.evaluator = create_supervised_evaluator(
            self.model,
            metrics={"accuracy": Accuracy(), "loss": Loss(functional.cross_entropy)},
        )
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.scheduler.step())
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.evaluate)
        self.to_save: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "trainer": self.trainer,
        }
        if loader is StatefulDataLoader:
            self.to_save["loader"] = self.loader

    def evaluate(self) -> None:
        self.evaluator.run(self.validation)

    def saver(self, **arguments: Any) -> TrackerSaver:
        return TrackerSaver(self.to_save, evaluators=self.evaluator, **arguments)

    def keep(self, event: Any = Events.EPOCH_COMPLETED, n_saved: int | None = None) -> Checkpoint:
        """Attach a handler that saves at an event of the trainer."""
        handler = Checkpoint(self.to_save, self.saver(), n_saved=n_saved)
        self.trainer.add_event_handler(event, handler)
        return handler

    def run(self, epochs: int) -> None:
        self.trainer.run(self.loader, max_epochs=epochs)
        tracker.flush()

    def state(self) -> list[Any]:
        return state_of(self.model, self.optimizer, self.scheduler, self.trainer)


def names() -> list[str]:
    return sorted(checkpoint.name for checkpoint in tracker.search_checkpoints())


class Killed(Exception):
    pass


def interrupt(training: Training, event: Any) -> None:
    """Let a training die at an event, with what it had in memory."""

    def die() -> None:
        raise Killed

    training.trainer.add_event_handler(event, die)
    with pytest.raises(Killed):
        training.run(3)


EPOCH, WITHIN = Events.EPOCH_COMPLETED, Events.ITERATION_COMPLETED(every=3)


@pytest.mark.parametrize(
    ("kind", "saved", "arguments"),
    [
        (Engine, EPOCH, {}),
        (Engine, WITHIN, {"loader": StatefulDataLoader}),
        (DeterministicEngine, EPOCH, {}),
        # Without a worker, Ignite's engine would draw other batches for the rest of the epoch.
        (DeterministicEngine, WITHIN, {"workers": 1}),
    ],
    ids=["epoch", "within an epoch", "deterministic, epoch", "deterministic, within an epoch"],
)
def test_a_training_that_died_and_was_resumed_ends_as_one_that_was_not_interrupted(
    kind: type[Engine], saved: Any, arguments: dict[str, Any]
) -> None:
    whole = Training(kind, **arguments)
    whole.keep(saved)
    whole.run(3)
    mlflow.end_run()
    mlflow.set_experiment("interrupted")

    first = Training(kind, **arguments)
    first.keep(saved)
    interrupt(first, Events.ITERATION_STARTED(once=8))

    second = Training(kind, seed=99, **arguments)
    second.keep(saved)
    checkpoint = resume_latest(second.to_save)
    assert checkpoint is not None
    assert checkpoint.experiment == "interrupted"
    assert second.trainer.state.iteration == (4 if saved is EPOCH else 6)
    second.run(3)

    assert same(whole.state(), second.state())
    assert same(whole.evaluator.state.metrics, second.evaluator.state.metrics)
