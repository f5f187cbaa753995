"""Whatever trains a model goes on, bit for bit, as if it had never stopped."""

from __future__ import annotations

import inspect
import random
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedules
from torch.optim import swa_utils

from tests.loading.resuming import Perceptron, Training, loss_of, resumed_is_the_same, training
from tests.training import same

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1},
    "SGD momentum": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "Adam foreach": {"lr": 0.01, "foreach": True, "maximize": True},
    "Adam fused": {"lr": 0.01, "fused": True},
    "Adam tensor lr": {"lr": torch.tensor(0.01)},
    "AdamW": {"lr": 0.01},
    "AdamW differentiable": {"lr": 0.01, "differentiable": True},
    "RAdam": {"lr": 0.01, "decoupled_weight_decay": True},
    "NAdam": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "Adagrad": {"lr": 0.1, "initial_accumulator_value": 0.1},
    "Adagrad fused": {"lr": 0.1, "fused": True},
    "Adadelta": {},
    "ASGD": {"lr": 0.01, "t0": 2},
    "RMSprop": {"lr": 0.01, "momentum": 0.9, "centered": True},
    "Rprop": {"lr": 0.01},
    "LBFGS": {"lr": 0.1, "max_iter": 3, "history_size": 2},
    "LBFGS search": {"max_iter": 3, "line_search_fn": "strong_wolfe"},
    "Adafactor": {"lr": 0.01},
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_goes_on_exactly(kind: str, tmp_path: Path) -> None:
    cls = getattr(torch.optim, kind.partition(" ")[0])
    differentiable = OPTIMIZERS[kind].get("differentiable", False)

    def make() -> Training:
        made = training(lambda model: cls(model.parameters(), **OPTIMIZERS[kind]))
        if differentiable:  # its step is part of the graph, which leaves can't be
            made = with_graph(made)
        return made

    resumed_is_the_same(make, tmp_path / "checkpoint")


def with_graph(made: Training) -> Training:
    made.model.requires_grad_(False)

    def step() -> float:
        for parameter in made.model.parameters():
            parameter.grad = torch.randn_like(parameter, requires_grad=True)
        made.optimizer.step()
        return sum(parameter.sum().item() for parameter in made.model.parameters())

    return Training(made.model, step, made.optimizer)


def test_no_optimizer_of_torch_is_left_out() -> None:
    tried = {kind.partition(" ")[0] for kind in OPTIMIZERS} | {"SparseAdam", "Muon"}
    known = {
        name
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    }
    assert known - {"Optimizer"} == tried


def test_sparse_gradients_and_matrices_have_optimizers_of_their_own(tmp_path: Path) -> None:
    def make() -> Training:
        model = nn.Sequential(nn.EmbeddingBag(20, 4, sparse=True), nn.Linear(4, 3, bias=False))
        sparse = torch.optim.SparseAdam(model[0].parameters(), lr=0.01)
        muon = torch.optim.Muon(model[1].parameters(), lr=0.01)

        def step() -> float:
            sparse.zero_grad(), muon.zero_grad()
            loss = model(torch.randint(20, (5, 3))).square().mean()
            loss.backward()
            sparse.step(), muon.step()
            return loss.item()

        return Training(model, step, sparse, state={"muon": muon})

    resumed_is_the_same(make, tmp_path / "checkpoint")


SCHEDULERS: dict[str, Any] = {
    "StepLR": lambda o: schedules.StepLR(o, step_size=2),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, milestones=[2, 4]),
    "ConstantLR": lambda o: schedules.ConstantLR(o, total_iters=4),
    "LinearLR": lambda o: schedules.LinearLR(o, total_iters=4),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o, total_iters=9),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, T_max=10),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, T_0=4),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, max_lr=0.1, total_steps=20),
    "CyclicLR": lambda o: schedules.CyclicLR(o, base_lr=0.01, max_lr=0.1, mode="exp_range"),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=0, factor=0.5),
    "LambdaLR": lambda o: schedules.LambdaLR(o, Halving(3)),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda epoch: 0.9),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o,
        [schedules.LinearLR(o, total_iters=2), schedules.ExponentialLR(o, 0.9)],
        milestones=[2],
    ),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler(
        [schedules.LinearLR(o, total_iters=5), schedules.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.001, anneal_epochs=4),
}


class Halving:
    """A callable with a state, which LambdaLR keeps."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.calls = 0

    def __call__(self, epoch: int) -> float:
        self.calls += 1
        return 0.5 ** (self.calls // self.every)


@pytest.mark.parametrize("lr", [0.1, "tensor"])
@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
def test_every_schedule_goes_on_exactly(kind: str, lr: Any, tmp_path: Path) -> None:
    def make() -> Training:
        rate = torch.tensor(0.1) if lr == "tensor" else lr
        return training(
            lambda model: torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9),
            SCHEDULERS[kind],
        )

    compared = resumed_is_the_same(make, tmp_path / "checkpoint")
    rates = [
        each.optimizer.param_groups[0]["lr"] for each in (compared["fresh"], compared["straight"])
    ]
    assert same(*rates)


def test_no_schedule_of_torch_is_left_out() -> None:
    known = {
        name
        for name, value in vars(schedules).items()
        if inspect.isclass(value) and issubclass(value, schedules.LRScheduler)
    }
    assert known - {"LRScheduler", "_LRScheduler"} <= SCHEDULERS.keys()


def test_groups_with_options_of_their_own_and_parameters_added_later(tmp_path: Path) -> None:
    def make() -> Training:
        def optimizer(model: Any) -> Any:
            made = torch.optim.AdamW(
                [
                    {"params": model.first.parameters(), "lr": 0.1, "weight_decay": 0.5},
                    {"params": model.norm.parameters(), "betas": (0.5, 0.9), "amsgrad": True},
                ]
            )
            made.add_param_group({"params": [model.last.weight, model.empty], "lr": 0.03})
            return made

        def model() -> nn.Module:
            made = Perceptron()
            made.empty = nn.Parameter(torch.empty(0, 3))
            return made

        return training(optimizer, make_model=model)

    resumed_is_the_same(make, tmp_path / "checkpoint")


def test_a_channels_last_model_with_a_fused_optimizer_goes_on(tmp_path: Path) -> None:
    def make() -> Training:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)

        def step() -> float:
            optimizer.zero_grad()
            x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return Training(model, step, optimizer)

    compared = resumed_is_the_same(make, tmp_path / "checkpoint")
    fresh = compared["fresh"]
    average = fresh.optimizer.state[fresh.model[0].weight]["exp_avg"]
    assert average.stride() == fresh.model[0].weight.stride()


class Peculiar(torch.optim.Optimizer):
    """Keeps what torch's own ``load_state_dict`` would convert, mix up or refuse."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any) -> Any:
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                self._move(parameter, self.state[parameter], group["lr"])
        return loss

    def _move(self, parameter: Tensor, state: Any, lr: float) -> None:
        if not state:
            state["master"] = parameter.double()
            state["seen"] = torch.tensor(0)
            state["signs"] = torch.zeros_like(parameter, dtype=torch.int8)
            state["phase"] = "begins"
            state["recent"] = deque(maxlen=2)
            state["factors"] = {"rows": torch.zeros(parameter.shape[0]), "by": OrderedDict(a=1)}
            state["history"] = np.zeros(3)
        state["seen"] += 1
        state["signs"] += parameter.grad.sign().to(torch.int8)
        state["factors"]["rows"] += parameter.grad.flatten(1).sum(1) if parameter.dim() > 1 else 1
        state["factors"]["by"]["a"] += 1
        state["history"][int(state["seen"]) % 3] += float(parameter.grad.sum())
        state["recent"].append(float(parameter.grad.abs().max()))
        state["master"] -= lr * parameter.grad / (1 + sum(state["recent"]))
        state["master"] -= 1e-3 * (state["phase"] == "goes on") * state["signs"]
        state["phase"] = "goes on"
        parameter.copy_(state["master"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_optimizer_with_a_state_of_its_own_kind_goes_on(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2, dtype=dtype)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.to(dtype)).float()

    compared = resumed_is_the_same(
        lambda: training(lambda model: Peculiar(model.parameters()), make_model=Half),
        tmp_path / "checkpoint",
    )
    fresh = compared["fresh"]
    state = fresh.optimizer.state[fresh.model.layer.weight]
    assert state["master"].dtype == torch.float64
    assert state["signs"].dtype == torch.int8
    assert state["recent"].maxlen == 2


class Lookahead:
    """Wraps an optimizer; the groups in its state_dict do not number parameters."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.param_groups = inner.param_groups
        self.slow = [each.detach().clone() for each in inner.param_groups[0]["params"]]
        self.steps = 0

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self, closure: Any) -> Any:
        loss = self.inner.step(closure)
        self.steps += 1
        if self.steps % 2 == 0:
            for slow, fast in zip(self.slow, self.inner.param_groups[0]["params"], strict=True):
                fast.copy_(slow.lerp_(fast, 0.5))
        return loss

    def state_dict(self) -> dict[str, Any]:
        groups = [{"steps": self.steps, "slow": self.slow}]
        return {"fast": self.inner.state_dict(), "param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["fast"])
        self.param_groups = self.inner.param_groups
        self.steps, self.slow = (state["param_groups"][0][key] for key in ("steps", "slow"))


def test_an_optimizer_around_another_goes_on(tmp_path: Path) -> None:
    resumed_is_the_same(
        lambda: training(lambda m: Lookahead(torch.optim.Adam(m.parameters(), lr=0.01))),
        tmp_path / "checkpoint",
    )


def test_a_scaler_an_average_and_several_optimizers_go_on(tmp_path: Path) -> None:
    def make() -> Training:
        model, critic = Perceptron(), nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        rival = torch.optim.Adam(critic.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
        average = swa_utils.AveragedModel(model, use_buffers=True)
        swa = swa_utils.SWALR(optimizer, swa_lr=0.05)

        def step() -> float:
            optimizer.zero_grad(), rival.zero_grad()
            x = torch.randn(8, 4)
            loss = critic(model(x)).square().mean() + model(x).sum()
            scaler.scale(loss).backward()
            scaler.step(optimizer), scaler.step(rival)
            scaler.update(), swa.step()
            average.update_parameters(model)
            return loss.item()

        state = {"critic": critic, "rival": rival, "scaler": scaler, "average": average}
        return Training(model, step, optimizer, swa, state)

    resumed_is_the_same(make, tmp_path / "checkpoint", steps=(3, 4))


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    def make() -> Training:
        model = Perceptron()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        own = torch.Generator().manual_seed(torch.randint(99, ()).item())
        python, numpy = random.Random(random.random()), np.random.default_rng(np.random.randint(9))
        legacy = np.random.RandomState(np.random.randint(9))

        def step() -> Any:
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
            drawn = [python.random(), python.gauss(0, 1), numpy.normal(), legacy.normal()]
            both = [random.random(), random.gauss(0, 1), float(np.random.normal())]
            return torch.rand(2, generator=own), drawn, both

        state = {"own": own, "python": python, "numpy": numpy, "legacy": legacy}
        return Training(model, step, optimizer, state=state)

    resumed_is_the_same(make, tmp_path / "checkpoint")
