from __future__ import annotations

import weakref
from typing import Any

import mlflow
import pytest
import torch
from torch import nn

import tracker
from tests.models import Net
from tests.training import log
from tracker.errors import InvalidArgumentError, UnstorableError
from tracker.saving.snapshot import Snapshot, take

pytestmark = pytest.mark.usefixtures("workplace")


def taken(model: object, **arguments: Any) -> Snapshot:
    return take(model, **{"optimizer": None, "scheduler": None, "state": None, **arguments})


def with_buffer(buffer: torch.Tensor) -> nn.Module:
    model = nn.Module()
    model.register_buffer("b", buffer)
    return model


def test_without_training_state_there_is_none() -> None:
    snapshot = taken(nn.Linear(2, 1))
    assert snapshot.training is None
    assert snapshot.training_tensors == {}


@pytest.mark.parametrize(
    "model",
    [nn.Linear(2, 1).state_dict(), nn.Linear, None, "net.pt", list(nn.Linear(2, 1).parameters())],
)
def test_what_is_no_module_is_refused(model: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"expects a torch\.nn\.Module \(not its state_dict"
    ):
        taken(model)


@pytest.mark.parametrize("name", ["optimizer", "scheduler"])
@pytest.mark.parametrize("part", [{"lr": 0.1}, [1], torch.optim.SGD, 0.1])
def test_what_keeps_no_state_is_no_optimizer(name: str, part: object) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"{name} is a .*no state_dict\(\)"):
        taken(nn.Linear(2, 1), **{name: part})


@pytest.mark.parametrize("state", [[1], "a", {1: "a"}, 5])
def test_state_must_be_a_dict_by_name(state: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="state must be a dict by name"):
        taken(nn.Linear(2, 1), state=state)


@pytest.mark.parametrize("value", [object(), lambda: 1, nn.Linear, open])
def test_a_value_that_can_not_be_stored_is_named(value: object) -> None:
    with pytest.raises(UnstorableError, match=r"^state\.thing\.0:") as caught:
        taken(nn.Linear(2, 1), state={"thing": [value]})
    assert caught.value.path == "state.thing.0"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: with_buffer(torch.eye(3).to_mkldnn()),
            "b: is a tensor of layout torch._mkldnn",
        ),
        (
            lambda: with_buffer(torch.nested.nested_tensor([torch.ones(1)])),
            "b: is a nested tensor",
        ),
        (lambda: nn.Linear(2, 1, device="meta"), "weight: is on the meta device"),
        (lambda: nn.LazyLinear(2), "weight: is an uninitialised parameter"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_tensor_that_can_not_be_stored_is_named(model: Any, message: str) -> None:
    with pytest.raises(UnstorableError, match=message):
        log(model(), epoch=1)
    assert mlflow.active_run() is None
    assert mlflow.search_logged_models(output_format="list") == []


def test_a_tensor_of_the_training_state_that_can_not_be_stored_is_named() -> None:
    with pytest.raises(UnstorableError, match=r"^state\.mask: .*mkldnn"):
        taken(nn.Linear(2, 1), state={"mask": torch.eye(3).to_mkldnn()})


def test_wrappers_are_looked_through() -> None:
    model = Net(hidden=4)
    plain = set(model.state_dict())
    for wrapped in (
        nn.DataParallel(model),
        torch.compile(model),
        torch.compile(nn.DataParallel(model)),
    ):
        checkpoint = tracker.log_checkpoint(wrapped).result()
        assert checkpoint.model_class == "tests.models:Net"
        assert set(checkpoint.load_state_dict()) == plain
        assert type(checkpoint.load_model()) is Net


def test_an_example_is_recorded_with_the_model_that_a_wrapper_holds() -> None:
    model, x = nn.Linear(2, 1), torch.ones(3, 2)
    example = taken(nn.DataParallel(model), example_input=x).example
    assert torch.equal(example.tensors["output"], model(x))
    assert taken(model).example is None


def test_an_example_of_a_dtype_that_the_format_lacks_is_refused_by_its_name() -> None:
    with pytest.raises(UnstorableError, match=r"^example_input\.0: "):
        taken(nn.Identity(), example_input=torch.zeros(2, dtype=torch.uint8).view(torch.bits8))


def test_a_module_that_contains_itself_is_refused_and_the_way_out_named() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].outer = weakref.proxy(model)
    with pytest.raises(InvalidArgumentError, match=r"as weakref\.ref"):
        taken(model)
