"""What does not fit is named, parameter by parameter, before anything is touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules

from tests.loading.resuming import Training, loss_of, training
from tests.training import same, state_of
from tracker.errors import MismatchError
from tracker.loading.resume import resume_training
from tracker.rehearsal.stored import store


class Twins(nn.Module):
    """Parameters of the same shapes, which nothing but their names tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.two(self.one(x)))


def adam(*parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(list(parameters), lr=0.01)


def trained(make_optimizer: Callable[[Any], Any] = lambda m: adam(*m.parameters())) -> Training:
    made = training(make_optimizer, make_model=Twins)
    made.step()
    return made


OTHERS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "another order": (
        lambda m: adam(*m.two.parameters(), *m.one.parameters(), *m.out.parameters()),
        [
            "its parameters are in another order:",
            "one.weight is number 2 of group 0, in the checkpoint 0",
            "one.bias is number 3 of group 0, in the checkpoint 1",
            "two.weight is number 0 of group 0, in the checkpoint 2",
            "two.bias is number 1 of group 0, in the checkpoint 3",
        ],
    ),
    "fewer parameters": (
        lambda m: adam(*m.one.parameters(), *m.out.parameters()),
        [
            "two.weight is missing in it; the checkpoint has it in group 0",
            "two.bias is missing in it; the checkpoint has it in group 0",
            "group 0 has 4 parameters, the checkpoint 6",
        ],
    ),
    "another group": (
        lambda m: adam(
            {"params": [*m.one.parameters(), *m.two.parameters()]}, {"params": m.out.parameters()}
        ),
        [
            "it has 2 parameter groups, the checkpoint 1",
            "out.weight is in group 1; the checkpoint has it in group 0",
            "out.bias is in group 1; the checkpoint has it in group 0",
            "group 0 has 4 parameters, the checkpoint 6",
        ],
    ),
    "another instance of the model": (
        lambda m: adam(*Twins().parameters()),
        [
            "one.weight is missing in it; the checkpoint has it in group 0",
            "it has parameters that are none of the model's",
        ],
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_parameters_that_are_not_where_they_were_are_named(kind: str, tmp_path: Path) -> None:
    make_optimizer, lines = OTHERS[kind]
    stored = store(tmp_path / "checkpoint", **trained().parts())
    model = Twins()
    optimizer = make_optimizer(model)
    before = state_of(model, optimizer)
    with pytest.raises(MismatchError) as caught:
        resume_training(stored, model=model, optimizer=optimizer)
    assert "The state of optimizer does not fit; nothing was changed:" in str(caught.value)
    for line in lines:
        assert f"\n  {line}" in str(caught.value)
    assert same(state_of(model, optimizer), before)


def test_parameters_that_the_logged_optimizer_did_not_have_are_named(tmp_path: Path) -> None:
    frozen = trained(lambda m: adam(*m.one.parameters(), *m.two.parameters()))
    stored = store(tmp_path / "checkpoint", **frozen.parts())
    model = Twins()
    with pytest.raises(MismatchError, match=r"out\.weight, in group 0, is not in that of the ch"):
        resume_training(stored, model=model, optimizer=adam(*model.parameters()))


def test_parameters_of_a_module_that_is_not_given_are_not_missed(tmp_path: Path) -> None:
    made, critic = trained(), nn.Linear(2, 2)
    rival = adam(*critic.parameters())
    rival.step()
    made.state = {"critic": critic, "rival": rival}
    stored = store(tmp_path / "checkpoint", **made.parts())
    other = nn.Linear(2, 2)
    resume_training(stored, model=Twins(), state={"rival": adam(*other.parameters())})
    state = {"critic": other, "rival": adam(other.bias, other.weight)}
    with pytest.raises(MismatchError, match=r"critic\.weight is number 1 of group 0, in the check"):
        resume_training(stored, model=Twins(), state=state)


def test_a_checkpoint_without_names_is_resumed_by_number(tmp_path: Path) -> None:
    made = trained()
    stored = store(tmp_path / "checkpoint", **made.parts())
    entry = {**stored.manifest.training["optimizer"]}
    del entry["parameters"]
    old = dataclasses.replace(stored.manifest, training={"optimizer": entry})
    stored.manifest = old
    model = Twins()
    optimizer = adam(*model.parameters())
    resume_training(stored, model=model, optimizer=optimizer)
    assert same(state_of(model, optimizer), state_of(made.model, made.optimizer))
    reordered = adam(*reversed(list(model.parameters())))
    with pytest.raises(MismatchError, match=r"exp_avg of out\.bias is \[4, 4\], the parameter \[2"):
        resume_training(stored, model=model, optimizer=reordered)


def constant(o: Any) -> Any:
    return schedules.ConstantLR(o)


SCHEDULES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "another class": (
        constant,
        schedules.LinearLR,
        r"scheduler is a .*:LinearLR, but the checkpoint holds the state of a .*:ConstantLR",
    ),
    "other parts": (
        lambda o: schedules.ChainedScheduler([constant(o), schedules.ExponentialLR(o, 0.9)]),
        lambda o: schedules.ChainedScheduler([constant(o), schedules.LinearLR(o)]),
        "it consists of ConstantLR, LinearLR; that of the checkpoint of ConstantLR, Exponential",
    ),
    "fewer parts": (
        lambda o: schedules.SequentialLR(o, [constant(o), constant(o)], [2]),
        lambda o: schedules.SequentialLR(o, [constant(o)], []),
        "it consists of ConstantLR; that of the checkpoint of ConstantLR, ConstantLR",
    ),
    "other groups": (
        lambda o: schedules.StepLR(o, 2),
        lambda o: schedules.StepLR(
            torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.ones(1)]}], lr=1.0), 2
        ),
        "its base_lrs has 2 entries, that of the checkpoint 1",
    ),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_that_is_another_is_refused(kind: str, tmp_path: Path) -> None:
    make, make_other, message = SCHEDULES[kind]
    made = training(lambda m: adam(*m.parameters()), make, make_model=Twins)
    stored = store(tmp_path / "checkpoint", **made.parts())
    model = Twins()
    optimizer = adam(*model.parameters())
    scheduler = make_other(optimizer)
    before = state_of(model, optimizer, scheduler)
    with pytest.raises(MismatchError, match=message) as caught:
        resume_training(stored, model=model, optimizer=optimizer, scheduler=scheduler)
    assert "othing was changed" in str(caught.value)
    assert same(state_of(model, optimizer, scheduler), before)


def test_a_class_that_was_a_scripts_own_is_the_same_where_it_is_imported(tmp_path: Path) -> None:
    class Own(torch.optim.SGD):
        pass

    Own.__module__ = "__main__"
    made = trained(lambda m: Own(m.parameters(), lr=0.1))
    stored = store(tmp_path / "checkpoint", **made.parts())
    Own.__module__ = "train"
    resume_training(stored, model=made.model, optimizer=made.optimizer)
    Own.__qualname__ = "Other"
    with pytest.raises(MismatchError, match="optimizer is a train:Other, but"):
        resume_training(stored, model=made.model, optimizer=made.optimizer)


class Breaking(nn.Module):
    """Refuses to be loaded after half of it was."""

    def __init__(self, breaks: type[BaseException] | None = None) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)
        self.last = nn.Parameter(torch.randn(2))
        self.breaks = breaks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        if self.breaks is not None:
            raise self.breaks("in the middle")


@pytest.mark.parametrize("breaks", [ValueError, KeyboardInterrupt])
def test_an_end_in_the_middle_puts_everything_back(
    breaks: type[BaseException], tmp_path: Path
) -> None:
    made = training(lambda m: adam(*m.parameters()), constant, make_model=Breaking)
    made.step()
    stored = store(tmp_path / "checkpoint", **made.parts())
    model = Breaking(breaks)
    optimizer = adam(*model.parameters())
    loss_of(model).backward()
    optimizer.step()
    scheduler = constant(optimizer)
    before, numbers = state_of(model, optimizer, scheduler), torch.get_rng_state()
    expected = MismatchError if breaks is ValueError else breaks
    with pytest.raises(expected, match="in the middle"):
        resume_training(stored, model=model, optimizer=optimizer, scheduler=scheduler)
    assert same(state_of(model, optimizer, scheduler), before)
    assert torch.equal(torch.get_rng_state(), numbers)


def test_a_parameter_that_can_not_be_written_to_leaves_the_others_as_they_were(
    tmp_path: Path,
) -> None:
    stored = store(tmp_path / "checkpoint", Twins())
    model = Twins()
    model.two.weight = nn.Parameter(torch.zeros(1, 4).expand(4, 4))
    before = state_of(model)
    with pytest.raises(MismatchError, match=r"model refused .*nothing was changed"):
        resume_training(stored, model=model)
    assert same(state_of(model), before)
