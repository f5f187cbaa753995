"""Trains, stores, and trains on from what was stored, in objects that are made again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.training import same
from tracker.loading.resume import resume_training
from tracker.rehearsal.stored import store


@dataclass
class Training:
    """Everything that a training script holds, and one step of it."""

    model: nn.Module
    step: Callable[[], Any]
    optimizer: Any = None
    scheduler: Any = None
    state: dict[str, Any] = field(default_factory=dict)

    def parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "state": self.state or None,
        }

    def states(self) -> list[Any]:
        """The states of the model and of all that trains it."""
        named = (self.model, self.optimizer, self.scheduler, *self.state.values())
        return [each.state_dict() for each in named if hasattr(each, "state_dict")]


def resumed_is_the_same(
    make: Callable[[], Training], folder: Path, *, steps: tuple[int, int] = (3, 3)
) -> Mapping[str, Any]:
    """Assert that training goes on as if it had not stopped; return what was compared."""
    seed(0)
    straight = make()
    _run(straight, steps[0])
    stored = store(folder, **straight.parts())
    expected = _run(straight, steps[1])

    seed(1)
    fresh = make()
    resume_training(stored, **fresh.parts())
    found = _run(fresh, steps[1])
    assert same(found, expected)
    assert same(fresh.states(), straight.states())
    return {"results": expected, "fresh": fresh, "straight": straight}


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def _run(training: Training, steps: int) -> list[Any]:
    return [training.step() for _ in range(steps)]


class Perceptron(nn.Module):
    """Dropout draws random numbers, and batch norm has buffers."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


def loss_of(model: nn.Module) -> Tensor:
    """Return the loss on random data."""
    x = torch.randn(8, 4)
    return nn.functional.mse_loss(model(x), x[:, :2])


def training(
    make_optimizer: Callable[[nn.Module], Any],
    make_scheduler: Callable[[Any], Any] | None = None,
    make_model: Callable[[], nn.Module] = Perceptron,
) -> Training:
    """Return a usual training: forward, backward, optimizer, schedule."""
    model = make_model()
    optimizer = make_optimizer(model)
    scheduler = make_scheduler(optimizer) if make_scheduler else None

    def step() -> float:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            return loss

        loss = optimizer.step(closure).item()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss)
        elif scheduler is not None:
            scheduler.step()
        return loss

    return Training(model, step, optimizer, scheduler)
