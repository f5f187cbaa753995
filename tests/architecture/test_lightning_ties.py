"""A LightningModule that a Trainer has in hand is described as if it were alone."""

from __future__ import annotations

from typing import Any

import lightning
import pytest
import torch
from torch import nn

from tracker.architecture.describe import describe
from tracker.architecture.training_aids import taken_off


class Module(lightning.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = Inner(width)

    def forward(self, x: Any) -> Any:
        return self.inner(x)


class Inner(lightning.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Linear(2, width)

    def forward(self, x: Any) -> Any:
        return self.net(x)


@pytest.fixture
def module() -> Module:
    made = Module(3)
    made.trainer = lightning.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    assert made.hparams == {}  # which makes a dict of Lightning's own
    made._current_fx_name = "training_step"
    made._metric_attributes = {1: "accuracy"}
    return made


def test_it_is_rebuilt_by_its_constructor_and_not_described_twice(module: Module) -> None:
    with taken_off(module):
        first = describe(module).architecture
    with taken_off(module):
        second = describe(module).architecture
    assert first.rebuild == "constructor"
    assert second is first


def test_the_trainer_has_it_in_hand_again_afterwards(module: Module) -> None:
    trainer, before = module.trainer, [dict(vars(module)), dict(vars(module.inner))]
    with taken_off(module):
        assert module._trainer is None
        assert module.inner._trainer is None
        assert module._metric_attributes is None
    assert module.trainer is trainer
    assert [vars(module), vars(module.inner)] == before


def test_what_compiling_put_on_its_steps_is_no_part_of_it() -> None:
    from lightning.pytorch.utilities.compile import from_compiled

    module = from_compiled(torch.compile(Module(3), backend="eager"))
    assert "training_step" in vars(module)
    with taken_off(module):
        assert "training_step" not in vars(module)
        assert describe(module).architecture.rebuild == "constructor"
    assert "training_step" in vars(module)
