"""Training goes on from a checkpoint as if it had never stopped, or nothing is touched."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import lr_scheduler as schedules

import tracker
from tests.models import ExtraState, Net, Tied
from tests.training import log, same, state_of, train_epoch
from tracker.errors import InvalidArgumentError, MismatchError, TrackerWarning

pytestmark = pytest.mark.usefixtures("workplace")

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
MakeScheduler = Callable[[Any], Any]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "Adam amsgrad": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01), amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "NAdam": lambda p: torch.optim.NAdam(p),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3, history_size=5),
}


def halved(epoch: int) -> float:
    return 0.5**epoch


SCHEDULERS: dict[str, MakeScheduler] = {
    "StepLR": lambda o: schedules.StepLR(o, step_size=3),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, milestones=[2, 5]),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, T_max=10),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, T_0=4),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, max_lr=0.1, total_steps=20),
    "CyclicLR": lambda o: schedules.CyclicLR(o, base_lr=0.01, max_lr=0.1),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=0, factor=0.5),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o,
        [schedules.LinearLR(o, total_iters=3), schedules.ExponentialLR(o, 0.9)],
        milestones=[3],
    ),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler(
        [schedules.LinearLR(o, total_iters=3), schedules.ExponentialLR(o, 0.9)]
    ),
    "LambdaLR of a function": lambda o: schedules.LambdaLR(o, halved),
    "LambdaLR of a lambda": lambda o: schedules.LambdaLR(o, lambda epoch: 0.5**epoch),
}


def start(optimizer: MakeOptimizer, scheduler: MakeScheduler | None = None) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = Net(hidden=4, depth=2)
    made = optimizer(model.parameters())
    return model, made, scheduler(made) if scheduler else None


def train(model: Any, optimizer: Any, scheduler: Any, epochs: range) -> list[float]:
    losses = []
    for epoch in epochs:
        losses.append(train_epoch(model, optimizer, epoch))
        if isinstance(scheduler, schedules.ReduceLROnPlateau):
            scheduler.step(losses[-1])
        elif scheduler is not None:
            scheduler.step()
    return losses


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_ten_epochs_are_the_same_bit_for_bit_when_resumed_at_the_sixth(kind: str) -> None:
    straight = start(OPTIMIZERS[kind])
    losses = train(*straight, range(10))

    first = start(OPTIMIZERS[kind])
    train(*first, range(7))
    checkpoint = log(first[0], epoch=6, optimizer=first[1])
    torch.manual_seed(99)
    model = Net(hidden=4, depth=2)
    optimizer = OPTIMIZERS[kind](model.parameters())
    assert tracker.resume(checkpoint, model=model, optimizer=optimizer) is checkpoint
    assert train(model, optimizer, None, range(7, 10)) == losses[7:]
    assert same(state_of(model, optimizer), state_of(*straight[:2]))


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
def test_a_schedule_goes_on_where_it_was(kind: str) -> None:
    straight = start(OPTIMIZERS["SGD momentum"], SCHEDULERS[kind])
    losses = train(*straight, range(10))

    first = start(OPTIMIZERS["SGD momentum"], SCHEDULERS[kind])
    train(*first, range(7))
    checkpoint = log(first[0], epoch=6, optimizer=first[1], scheduler=first[2])
    model, optimizer, scheduler = start(OPTIMIZERS["SGD momentum"], SCHEDULERS[kind])
    checkpoint.resume(model=model, optimizer=optimizer, scheduler=scheduler)
    assert train(model, optimizer, scheduler, range(7, 10)) == losses[7:]
    assert optimizer.param_groups[0]["lr"] == straight[1].param_groups[0]["lr"]


def test_plain_values_come_back_as_they_were() -> None:
    values: dict[str, Any] = {
        "seed": 7,
        "best": float("inf"),
        "names": ["a", ("b", 1)],
        "by_number": {1: "one", 2: None},
        "rng": torch.get_rng_state(),
        "numpy_rng": np.random.get_state(),
        "python_rng": random.getstate(),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "text": b"\x00\xff",
    }
    checkpoint = log(Net(hidden=4), epoch=1, state=values)
    found = checkpoint.resume(model=Net(hidden=4))
    assert found.keys() == values.keys()
    assert all(same(found[name], value) for name, value in values.items()), found


def test_objects_of_the_state_are_loaded_and_not_returned() -> None:
    model, optimizer, _ = start(OPTIMIZERS["Adam"])
    ema = torch.optim.swa_utils.AveragedModel(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    train_epoch(model, optimizer, 1)
    ema.update_parameters(model)
    checkpoint = log(
        model, epoch=1, state={"ema": ema, "scaler": scaler, "critic": optimizer, "seed": 7}
    )
    other = Net(hidden=4, depth=2)
    objects = {
        "ema": torch.optim.swa_utils.AveragedModel(other),
        "scaler": torch.amp.GradScaler("cpu"),
        "critic": torch.optim.Adam(other.parameters()),
    }
    assert checkpoint.resume(model=other, state=objects) == {"seed": 7}
    assert same(state_of(*objects.values()), state_of(ema, scaler, optimizer))


def test_only_what_is_given_is_loaded() -> None:
    model, optimizer, _ = start(OPTIMIZERS["Adam"])
    train_epoch(model, optimizer, 1)
    checkpoint = log(model, epoch=1, optimizer=optimizer, state={"seed": 7})
    other = Net(hidden=4, depth=2)
    assert checkpoint.resume(model=other) == {"seed": 7}
    assert same(state_of(other), state_of(model))


def test_what_was_resumed_is_independent_of_the_files(workplace: Any) -> None:
    model, optimizer, _ = start(OPTIMIZERS["Adam"])
    train_epoch(model, optimizer, 1)
    checkpoint = log(model, epoch=1, optimizer=optimizer)
    other = Net(hidden=4, depth=2)
    again = OPTIMIZERS["Adam"](other.parameters())
    checkpoint.resume(model=other, optimizer=again)
    train_epoch(other, again, 2)
    logged = checkpoint.load_state_dict()
    assert all(same(logged[key], value) for key, value in model.state_dict().items())


def test_wrapped_models_are_resumed_inside() -> None:
    model = Net(hidden=4)
    checkpoint = log(model, epoch=1)
    other = Net(hidden=4)
    checkpoint.resume(model=nn.DataParallel(other))
    assert same(state_of(other), state_of(model))


def test_a_model_of_which_a_part_is_compiled_is_resumed_and_resumes_others() -> None:
    plain, partly = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(torch.compile(nn.Linear(2, 2)))
    log(plain, epoch=1).resume(model=partly)
    assert same(partly[0].weight, plain[0].weight)
    partly[0].weight.data.fill_(3)
    log(partly, epoch=2).resume(model=plain)
    assert (plain[0].weight == 3).all()


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_buffers_are_resumed_and_part_of_the_state_dict() -> None:
    model, other = nn.Linear(1, 1), nn.Linear(1, 1)
    model.register_buffer("graph", torch.eye(3).to_sparse())
    other.register_buffer("graph", torch.zeros(3, 3).to_sparse())
    checkpoint = log(model, epoch=1)
    checkpoint.resume(model=other)
    assert torch.equal(other.graph.to_dense(), torch.eye(3))
    assert checkpoint.load_state_dict()["graph"].layout == torch.sparse_coo


def test_tied_weights_and_extra_state_are_resumed() -> None:
    tied, counting = Tied(), ExtraState()
    counting.seen = 5
    first, second = log(tied, epoch=1), log(counting, epoch=2)
    other, count = Tied(), ExtraState()
    first.resume(model=other)
    second.resume(model=count)
    assert other.head.weight is other.embedding.weight
    assert same(state_of(other), state_of(tied))
    assert count.seen == 5


def test_a_lazy_model_takes_the_shapes_of_the_checkpoint() -> None:
    model = nn.Linear(3, 2)
    checkpoint = log(model, epoch=1)
    lazy = nn.LazyLinear(2)
    checkpoint.resume(model=lazy)
    assert same(state_of(lazy), state_of(model))


class Refusing(nn.Module):
    """Takes its extra state only if it has seen as much itself."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2))
        self.limit = limit

    def get_extra_state(self) -> int:
        return self.limit

    def set_extra_state(self, state: int) -> None:
        if state != self.limit:
            raise ValueError(f"limit {state}")


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters())


def groups(model: nn.Module) -> torch.optim.Optimizer:
    first, *rest = model.parameters()
    return torch.optim.Adam([{"params": [first]}, {"params": rest}])


def fewer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(list(model.parameters())[:-1])


def reordered(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(list(model.parameters())[::-1])


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any], str]] = {
    "another optimizer class": (
        lambda: Net(hidden=4, depth=2),
        lambda m: torch.optim.AdamW(m.parameters()),
        r"optimizer is a torch\.optim\.adamw:AdamW, but the checkpoint holds .*adam:Adam",
    ),
    "more groups": (
        lambda: Net(hidden=4, depth=2),
        groups,
        "has 2 parameter groups, the checkpoint 1",
    ),
    "fewer parameters": (lambda: Net(hidden=4, depth=2), fewer, "group 0 has 5 parameters.*\n?.*6"),
    "another order": (
        lambda: Net(hidden=4, depth=2),
        reordered,
        r"in another order:\n  layers\.0\.weight is number 5 of group 0, in the checkpoint 0",
    ),
    "another width": (
        lambda: Net(hidden=5, depth=2),
        adam,
        r"head\.weight is \[2, 4\] in the checkpoint and \[2, 5\] in the model",
    ),
    "fewer layers": (lambda: Net(hidden=4, depth=1), adam, r"layers\.1\.\w+ is not in the model"),
    "more layers": (
        lambda: Net(hidden=4, depth=3),
        adam,
        r"layers\.2\.weight is missing in the checkpoint",
    ),
    "another model": (lambda: nn.Linear(3, 3), adam, r"The model is not the one that was logged"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_named_and_nothing_is_touched(case: str) -> None:
    model, optimizer, scheduler = start(OPTIMIZERS["Adam"], SCHEDULERS["StepLR"])
    train(model, optimizer, scheduler, range(2))
    checkpoint = log(model, epoch=1, optimizer=optimizer, scheduler=scheduler)
    make_model, make_optimizer, message = CASES[case]
    live = make_model()
    objects = [live, make_optimizer(live)]
    objects.append(schedules.StepLR(objects[1], step_size=3))
    before = state_of(*objects)
    with pytest.raises(MismatchError, match=message) as caught:
        checkpoint.resume(model=live, optimizer=objects[1], scheduler=objects[2])
    assert "othing was changed" in str(caught.value)
    assert same(state_of(*objects), before)


@pytest.mark.parametrize("missing", ["optimizer", "scheduler", "state.ema"])
def test_state_that_was_not_logged_is_named_and_nothing_is_touched(missing: str) -> None:
    model, optimizer, scheduler = start(OPTIMIZERS["SGD"], SCHEDULERS["StepLR"])
    checkpoint = log(model, epoch=1)
    live = Net(hidden=4, depth=2)
    before = state_of(live, optimizer, scheduler)
    given: dict[str, Any] = {
        "optimizer": {"optimizer": optimizer},
        "scheduler": {"scheduler": scheduler},
        "state.ema": {"state": {"ema": Net(hidden=4)}},
    }[missing]
    with pytest.raises(
        MismatchError, match=f"holds no {missing}: it was logged without it. It has the model al"
    ):
        checkpoint.resume(model=live, **given)
    assert same(state_of(live, optimizer, scheduler), before)


def test_what_is_there_is_listed_where_a_name_is_another() -> None:
    model, optimizer, scheduler = start(OPTIMIZERS["SGD"], SCHEDULERS["StepLR"])
    state = {"best": 1, "ema": model}
    checkpoint = log(model, epoch=1, optimizer=optimizer, scheduler=scheduler, state=state)
    with pytest.raises(
        MismatchError, match=r"It has optimizer, scheduler, state\.best, state\.ema\."
    ):
        checkpoint.resume(model=model, state={"emma": model})


def test_a_model_of_another_dtype_is_resumed_with_a_warning() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    model = Net(hidden=4).bfloat16()
    with pytest.warns(
        TrackerWarning, match=r"head\.bias was torch\.float32 and is torch\.bfloat16 "
    ):
        checkpoint.resume(model=model)
    assert model.head.weight.dtype == torch.bfloat16


def test_random_state_is_yes_or_no() -> None:
    with pytest.raises(InvalidArgumentError, match="random_state='yes': expected True, False or"):
        log(Net(hidden=4), epoch=1).resume(model=Net(hidden=4), random_state="yes")


def test_another_scheduler_class_is_refused() -> None:
    model, optimizer, scheduler = start(OPTIMIZERS["SGD"], SCHEDULERS["StepLR"])
    checkpoint = log(model, epoch=1, scheduler=scheduler)
    with pytest.raises(MismatchError, match=r"CosineAnnealingLR, but .*StepLR"):
        checkpoint.resume(model=model, scheduler=SCHEDULERS["CosineAnnealingLR"](optimizer))


def test_an_object_in_place_of_a_plain_value_is_refused_and_the_other_way_round() -> None:
    model, optimizer, _ = start(OPTIMIZERS["SGD"])
    checkpoint = log(model, epoch=1, state={"seed": 7, "critic": optimizer})
    with pytest.raises(MismatchError, match=r"state\.seed was logged as a plain value"):
        checkpoint.resume(model=model, state={"seed": optimizer})
    with pytest.raises(InvalidArgumentError, match=r"state\.critic is a int, which has no"):
        checkpoint.resume(model=model, state={"critic": 5})


def test_an_object_that_refuses_its_state_leaves_all_others_as_they_were() -> None:
    model, optimizer, scheduler = start(OPTIMIZERS["Adam"], SCHEDULERS["StepLR"])
    train(model, optimizer, scheduler, range(2))
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    checkpoint = log(
        model,
        epoch=1,
        optimizer=optimizer,
        scheduler=scheduler,
        state={"scaler": disabled, "ema": model},
    )
    live, other, schedule = start(OPTIMIZERS["Adam"], SCHEDULERS["StepLR"])
    train(live, other, schedule, range(5, 6))
    objects = [live, other, schedule, torch.amp.GradScaler("cpu"), Net(hidden=4, depth=2)]
    before = state_of(*objects)
    with pytest.raises(MismatchError, match=r"state\.scaler refused .*nothing was changed"):
        checkpoint.resume(
            model=live,
            optimizer=other,
            scheduler=schedule,
            state={"scaler": objects[3], "ema": objects[4]},
        )
    assert same(state_of(*objects), before)


def test_a_model_that_refuses_its_extra_state_is_left_as_it_was() -> None:
    checkpoint = log(Refusing(1), epoch=1)
    live = Refusing(2)
    before = state_of(live)
    with pytest.raises(MismatchError, match=r"model refused .*ValueError: limit 1"):
        checkpoint.resume(model=live)
    assert same(state_of(live), before)


def test_a_module_of_the_state_must_fit_too() -> None:
    checkpoint = log(Net(hidden=4), epoch=1, state={"ema": Net(hidden=4)})
    live, ema = Net(hidden=4), Net(hidden=5)
    before = state_of(live, ema)
    with pytest.raises(MismatchError, match=r"state\.ema is not the module that was logged"):
        checkpoint.resume(model=live, state={"ema": ema})
    assert same(state_of(live, ema), before)


@pytest.mark.parametrize("state", [[1], "a", 5])
def test_state_must_be_a_dict(state: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="state must be a dict by name"):
        log(Net(hidden=4), epoch=1).resume(model=Net(hidden=4), state=state)


@pytest.mark.parametrize("model", [None, {}, nn.Linear])
def test_only_a_module_can_be_resumed(model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a torch\.nn\.Module"):
        log(Net(hidden=4), epoch=1).resume(model=model)


def test_an_optimizer_that_gathers_its_state_from_all_ranks_is_resumed() -> None:
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        model, other = Net(hidden=4, depth=2), Net(hidden=4, depth=2)
        first, second = (
            ZeroRedundancyOptimizer(each.parameters(), torch.optim.Adam, lr=0.1)
            for each in (model, other)
        )
        train_epoch(model, first, 0)
        first.consolidate_state_dict()
        checkpoint = log(model, epoch=0, optimizer=first)
        tracker.resume(checkpoint, model=other, optimizer=second)
        first.consolidate_state_dict()
        second.consolidate_state_dict()
        assert same(state_of(model, first), state_of(other, second))
    finally:
        torch.distributed.destroy_process_group()
