"""`verify_resume` tells whether training goes on exactly, and names what is lost if not."""

from __future__ import annotations

import copy
import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import swa_utils
from torch.utils.data import DataLoader, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import tracker
from tests.training import same
from tracker.errors import InvalidArgumentError, MismatchError, UnstorableError
from tracker.rehearsal.report import ResumeReport

DIGITS = TensorDataset(torch.tensor(load_digits().data[:160] / 16, dtype=torch.float32))


class Workshop:
    """A model, its optimizer, and a step of training on a batch."""

    def __init__(self) -> None:
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 64)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def train(self, x: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), x)
        loss.backward()
        self.optimizer.step()
        return loss

    def verify(self, step: Callable[[], Any], **given: Any) -> ResumeReport:
        given = {"optimizer": self.optimizer, **given}
        return tracker.verify_resume(step, model=self.model, **given)

    def states(self) -> Any:
        return copy.deepcopy(
            [
                self.model.state_dict(),
                self.optimizer.state_dict(),
                [each.grad for each in self.model.parameters()],
                random.getstate(),
                np.random.get_state(),
                torch.get_rng_state(),
            ]
        )


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


def names(report: ResumeReport) -> dict[str, tuple[str, bool]]:
    return {each.name: (each.kind, each.confirmed) for each in report.not_restored}


def test_a_training_that_draws_from_the_global_generators_is_exact(shop: Workshop) -> None:
    def step() -> Tensor:
        return shop.train(torch.randn(8, 64) * random.random() + float(np.random.rand()))

    report = shop.verify(step)
    assert report
    assert report.exact
    assert str(report) == "resume is exact: 3 steps were replayed, bit for bit"


@pytest.mark.parametrize("begun", [False, True])
def test_everything_is_left_as_it_was(shop: Workshop, begun: bool) -> None:
    losses: list[float] = []
    count = 0

    def step() -> Tensor:
        nonlocal count
        count += 1
        losses.append(float(shop.train(torch.randn(8, 64) * count)))
        return shop.train(torch.randn(8, 64))

    if begun:
        step()
    before, seen = shop.states(), list(losses)
    assert not shop.verify(step)
    assert same(shop.states(), before)
    assert losses == seen
    assert count == len(seen)


def test_an_optimizer_that_was_not_given_is_named(shop: Workshop) -> None:
    optimizer = shop.optimizer

    def step() -> None:
        optimizer.zero_grad()
        shop.model(torch.randn(8, 64)).square().mean().backward()
        optimizer.step()

    report = shop.verify(step, optimizer=None, state={"seed": 1})
    assert names(report) == {"optimizer": ("optimizer", True)}
    assert {each.what for each in report.differences} == {"weights", "buffers"}
    assert "optimizer (confirmed): an Adam that the steps have changed" in str(report)


def test_the_global_generators_are_named_where_no_checkpoint_has_them(shop: Workshop) -> None:
    def step() -> Tensor:
        return shop.model(torch.full((4, 64), random.random()))

    report = shop.verify(step, optimizer=None)
    assert names(report) == {
        "Python's random": ("random", True),
        "torch's generator on the CPU": ("random", True),
    }


def test_generators_of_the_step_are_named_and_exact_once_they_are_given(shop: Workshop) -> None:
    noise = torch.Generator().manual_seed(3)
    scale = np.random.default_rng(3)
    shift = random.Random(3)

    def step() -> Tensor:
        x = torch.randn(8, 64, generator=noise) * float(scale.normal())
        return shop.train(x + shift.random())

    kinds = {
        "noise": ("generator", True),
        "scale": ("generator", True),
        "shift": ("generator", True),
    }
    assert names(shop.verify(step)) == kinds
    assert shop.verify(step, state={"noise": noise, "scale": scale, "shift": shift})


def test_the_position_of_a_loader_is_named_and_its_batches_are_drawn_again(shop: Workshop) -> None:
    def batches() -> Iterator[Any]:
        order = torch.Generator().manual_seed(5)
        return iter(DataLoader(DIGITS, batch_size=8, shuffle=True, generator=order))

    mine, twin = batches(), batches()
    next(mine), next(twin)

    def step() -> Tensor:
        return shop.train(next(mine)[0])

    report = shop.verify(step)
    assert names(report) == {"mine": ("loader", True)}
    assert any(each.what == "input" and each.step == 1 for each in report.differences)
    assert not report.notes
    assert same([each[0] for each in mine], [each[0] for each in twin])


def test_a_loader_that_runs_out_in_the_replay_is_named(shop: Workshop) -> None:
    batches = iter(DataLoader(DIGITS, batch_size=40))

    report = shop.verify(lambda: shop.train(next(batches)[0]))
    assert names(report) == {"batches": ("loader", True)}
    assert len(list(batches)) == 4


def test_a_loader_within_other_iterators_is_named(shop: Workshop) -> None:
    def endless() -> Iterator[Tensor]:
        while True:
            for (batch,) in DataLoader(DIGITS, batch_size=8, shuffle=True):
                yield batch

    numbered = enumerate(endless())
    next(numbered)

    report = shop.verify(lambda: shop.train(next(numbered)[1]))
    assert names(report)["numbered"] == ("loader", True)


def test_a_loader_that_is_begun_by_every_step_is_exact(shop: Workshop) -> None:
    loader = DataLoader(DIGITS, batch_size=80, shuffle=True)

    assert shop.verify(lambda: [float(shop.train(x)) for (x,) in loader])


def test_a_loader_with_a_state_is_exact_where_it_is_given(shop: Workshop) -> None:
    loader = StatefulDataLoader(DIGITS, batch_size=8, shuffle=True)
    batches = iter(loader)
    next(batches)

    def step() -> Tensor:
        return shop.train(next(batches)[0])

    assert names(shop.verify(step)) == {"batches": ("loader", True)}
    twin = StatefulDataLoader(DIGITS, batch_size=8, shuffle=True)
    twin.load_state_dict(copy.deepcopy(loader.state_dict()))
    assert shop.verify(step, state={"loader": loader})
    assert same(loader.state_dict(), twin.state_dict())
    assert same([each[0] for each in batches], [each[0] for each in twin])


def test_a_python_iterator_is_named_and_put_back(shop: Workshop) -> None:
    data = iter([torch.randn(8, 64) for _ in range(40)])
    again = itertools.cycle([torch.ones(8, 64), torch.zeros(8, 64)])

    report = shop.verify(lambda: shop.train(next(data) + next(again)))
    assert names(report)["data"] == ("iterator", True)
    assert data.__length_hint__() == 40


def test_a_cause_is_confirmed_in_a_training_that_has_begun(shop: Workshop) -> None:
    noise = torch.Generator().manual_seed(3)

    def step() -> Tensor:
        return shop.train(torch.randn(8, 64, generator=noise))

    step()
    assert names(shop.verify(step)) == {"noise": ("generator", True)}


def test_a_scheduler_and_an_average_are_lost_though_the_steps_do_not_show_it(
    shop: Workshop,
) -> None:
    schedule = torch.optim.lr_scheduler.ExponentialLR(shop.optimizer, 0.5)
    average = swa_utils.AveragedModel(shop.model)

    def step() -> Tensor:
        loss = shop.train(torch.randn(8, 64))
        schedule.step()
        average.update_parameters(shop.model)
        return loss

    before = copy.deepcopy([schedule.state_dict(), average.state_dict()])
    report = shop.verify(step)
    assert names(report) == {"schedule": ("scheduler", False), "average": ("module", False)}
    assert not report.differences
    assert not report
    assert same([schedule.state_dict(), average.state_dict()], before)
    assert shop.verify(step, scheduler=schedule, state={"average": average})


def test_gradients_that_are_accumulated_are_named(shop: Workshop) -> None:
    def step() -> Tensor:
        x = torch.randn(8, 64)
        loss = nn.functional.mse_loss(shop.model(x), x)
        loss.backward()
        shop.optimizer.step()
        return loss

    step()
    before = shop.states()
    assert names(shop.verify(step)) == {"the model's gradients": ("gradients", True)}
    assert same(shop.states(), before)


class Endless:
    """Begins its loader anew where it ends, and remembers what it saw."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.loader = DataLoader(DIGITS, batch_size=32)
        self.batches = iter(self.loader)
        self.losses: list[float] = []

    def __call__(self) -> dict[str, Any]:
        try:
            (x,) = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            (x,) = next(self.batches)
        self.losses.append(self.shop.train(x).item())
        return {"loss": self.losses[-1]}


def test_what_only_remembers_is_not_named_though_the_loader_ends(shop: Workshop) -> None:
    trainer = Endless(shop)
    batches = trainer.batches
    next(batches)

    assert names(shop.verify(trainer)) == {"step.batches": ("loader", True)}
    assert trainer.batches is batches
    assert trainer.losses == []
    assert same(next(trainer.batches)[0], DIGITS.tensors[0][32:64])


class Forgetful(nn.Module):
    """Keeps a running mean in no state_dict, and a count in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.register_buffer("mean", torch.zeros(64), persistent=False)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.mean = self.mean * 0.9 + x.mean(0).detach() * 0.1
        self.calls += 1
        return self.layer(x - self.mean) / self.calls


def test_what_a_model_keeps_outside_of_its_state_dict_is_named(shop: Workshop) -> None:
    shop.model = Forgetful()
    shop.optimizer = torch.optim.SGD(shop.model.parameters(), lr=0.1)

    report = shop.verify(lambda: shop.train(torch.randn(8, 64)))
    assert names(report) == {"model.mean": ("buffer", True), "model.calls": ("variable", True)}
    assert torch.equal(shop.model.mean, torch.zeros(64))
    assert shop.model.calls == 0


class Meter:
    """Forgets its count when it is loaded."""

    def __init__(self) -> None:
        self.count, self.total = 1, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total = state["total"]


def test_an_object_that_takes_back_half_of_its_state_is_named(shop: Workshop) -> None:
    meter = Meter()

    def step() -> Tensor:
        meter.count += 1
        return shop.train(torch.randn(8, 64) * meter.count)

    report = shop.verify(step, state={"meter": meter})
    assert "state.meter" in names(report)
    assert "count" in str(report)


def test_what_can_not_be_stored_is_an_error_and_a_loader_has_not_begun(shop: Workshop) -> None:
    loader = StatefulDataLoader(DIGITS, batch_size=8, shuffle=True)
    before, attributes = shop.states(), dict(vars(loader))
    with pytest.raises(UnstorableError, match=r"state\.other: is a builtins\.object"):
        shop.verify(lambda: None, state={"loader": loader, "other": object()})
    assert vars(loader) == attributes
    assert same(shop.states(), before)


class Trainer:
    """Everything in one object."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.warmup = 0.1
        self.noise = torch.Generator()

    def step(self) -> Tensor:
        self.warmup = min(1.0, self.warmup * 1.5)
        return self.shop.train(self.warmup * torch.randn(8, 64, generator=self.noise))


def test_the_attributes_of_a_trainer_are_named(shop: Workshop) -> None:
    trainer = Trainer(shop)

    report = shop.verify(trainer.step)
    assert names(report) == {
        "self.warmup": ("variable", True),
        "self.noise": ("generator", True),
    }
    assert trainer.warmup == 0.1


def test_what_is_different_each_time_is_not_taken_for_something_lost(shop: Workshop) -> None:
    def step() -> Tensor:
        chance = int.from_bytes(os.urandom(2), "big")
        x = torch.randn(8, 64)
        shop.optimizer.zero_grad()
        loss = nn.functional.mse_loss(shop.model(x), x) * chance
        loss.backward()
        shop.optimizer.step()
        return loss

    report = shop.verify(step)
    assert report.verdict == "nondeterministic"
    assert report.not_restored == ()
    assert "gave other results each time" in str(report)


def test_kernels_that_give_other_results_by_chance_are_told_as_torch_knows_them(
    shop: Workshop,
) -> None:
    def step() -> Tensor:
        loss = shop.train(torch.randn(8, 64))
        last = int.from_bytes(os.urandom(2), "big")  # as threads do that write to one place
        return loss + torch.zeros(2).put_(torch.tensor([0, 0]), torch.tensor([0.0, last])).sum()

    report = shop.verify(step)
    assert report.verdict == "nondeterministic"
    assert any(note.startswith("torch says: put_ does not have a det") for note in report.notes)
    assert not torch.are_deterministic_algorithms_enabled()


def test_inputs_from_out_of_sight_are_told_to_be_so(shop: Workshop) -> None:
    report = shop.verify(lambda: shop.train(torch.full((8, 64), os.urandom(1)[0] / 255)))
    assert report.verdict == "unknown"
    assert "can't look" in report.notes[0]


def test_a_thing_that_only_the_first_steps_have_changed_is_unknown(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REHEARSED", raising=False)

    def step() -> Tensor:
        first = "REHEARSED" not in os.environ
        os.environ["REHEARSED"] = "yes"
        return shop.train(torch.randn(8, 64) * (2 if first else 1))

    report = shop.verify(step)
    assert report.verdict == "unknown"
    assert not report
    monkeypatch.delenv("REHEARSED")


def test_a_step_that_raises_is_an_error_and_all_is_as_it_was(shop: Workshop) -> None:
    def step() -> None:
        shop.train(torch.randn(8, 64))
        raise ZeroDivisionError("no data")

    before = shop.states()
    with pytest.raises(InvalidArgumentError, match=r"step raised at step 1.*ZeroDivisionError: no"):
        shop.verify(step)
    assert same(shop.states(), before)


class Unready(Meter):
    def state_dict(self) -> dict[str, Any]:
        raise RuntimeError("not begun")


def test_an_object_that_can_not_be_looked_at_is_noted(shop: Workshop) -> None:
    meter = Unready()

    report = shop.verify(lambda: (shop.train(torch.randn(8, 64)), meter.count))
    assert report
    assert report.notes == ("meter could not be looked at: RuntimeError: not begun",)


class Refusing(Meter):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise ValueError("never")


def test_an_object_that_refuses_its_own_state_is_an_error(shop: Workshop) -> None:
    before = shop.states()
    with pytest.raises(MismatchError, match=r"state\.meter refused"):
        shop.verify(lambda: shop.train(torch.randn(8, 64)), state={"meter": Refusing()})
    assert same(shop.states(), before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"step": 5}, InvalidArgumentError, "step is a int"),
        ({"steps": 0}, InvalidArgumentError, "steps=0: expected 1 or more"),
        ({"model": None}, InvalidArgumentError, "not a torch.nn.Module"),
        ({"state": {"x": object()}}, UnstorableError, r"state\.x"),
        ({"optimizer": 5}, InvalidArgumentError, "optimizer is a int"),
    ],
)
def test_bad_arguments_are_refused(
    shop: Workshop, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"step": lambda: None, "model": shop.model, "optimizer": shop.optimizer, **arguments}
    with pytest.raises(error, match=message):
        tracker.verify_resume(given.pop("step"), **given)
