"""Values of Python and of libraries that models hold come back, and nothing else by their tags."""

# ruff: noqa: UP006, UP007, UP045

from __future__ import annotations

import functools
import inspect
import threading
import types
import typing
from collections import OrderedDict
from typing import Any, Generic, TypeVar

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn

from tests.architecture.roundtrip import constructed, problems, rebuilt
from tracker.architecture.imports import Imports
from tracker.architecture.reader import Reader
from tracker.architecture.trust import Trust
from tracker.errors import TrackerError, UntrustedCheckpointError

T = TypeVar("T")
TESTS = Trust(packages=frozenset({"tests"}))


class Holding(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    @classmethod
    def made(cls) -> Holding:
        return cls(None)


class Box(nn.Module, Generic[T]):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)


class AttributeDict(dict):  # type: ignore[type-arg]
    """The dict that answers for its keys as attributes, as half of all training code has one."""

    __getattr__ = dict.__getitem__


def double_forward(self: nn.Linear, x: Tensor) -> Tensor:
    return 2 * nn.functional.linear(x, self.weight, self.bias)


@pytest.mark.parametrize(
    "value",
    [int, len, [dict, sum], functools.partial(max, 3), list[int], dict[str, list[float]]],
    ids=str,
)
def test_builtins_and_generic_types_come_back(value: Any) -> None:
    back = rebuilt(Holding(value)).value
    assert back == value or back.func is value.func


@pytest.mark.parametrize(
    "value",
    [
        typing.Optional[Tensor],
        typing.Union[int, str, None],
        typing.List[int],
        typing.Dict[str, typing.Any],
        typing.Tuple[int, ...],
        typing.Callable[[int, str], float],
        typing.Callable[..., None],
        typing.Literal["a", 1],
        typing.Any,
        typing.List,
        int | None,
        list[int | str],
        typing.Sequence[int | None],
        type(None),
    ],
    ids=str,
)
def test_annotations_come_back(value: Any) -> None:
    back = rebuilt(Holding([value])).value[0]
    assert back == value
    assert repr(back) == repr(value)
    assert constructed(Holding(value)).value == value


def test_a_generic_module_keeps_its_parameters() -> None:
    model = Box[int](3)
    assert rebuilt(model).__orig_class__ == Box[int]


CONFIG = {"hidden": 4, "name": "${hidden}-net", "layers": [{"width": 2}, {"width": "???"}]}


def test_an_omegaconf_config_comes_back_with_its_interpolations() -> None:
    config = OmegaConf.create(CONFIG)
    OmegaConf.set_readonly(config, True)
    back = rebuilt(Holding({"config": config})).value["config"]
    assert isinstance(back, DictConfig)
    assert back == config
    assert back.name == "4-net"
    assert OmegaConf.is_missing(back.layers[1], "width")
    assert OmegaConf.is_readonly(back)


@pytest.mark.parametrize(
    "text",
    ["${ran:x}", "a ${ran:x}", "${a.${ran:x}}", "${ran:${hidden}}", "${${hidden}:x}", "${ran: }"],
)
def test_a_config_that_would_call_a_resolver_is_refused(text: str) -> None:
    ran: list[object] = []
    OmegaConf.register_new_resolver("ran", ran.append, replace=True)
    reader = Reader([], Imports(), lambda index, path: nn.Identity(), lambda slot, path: slot)
    for data in ({"x": text}, {"$dict": [[text, 1]]}, {"x": [[text]]}):
        with pytest.raises(UntrustedCheckpointError, match="resolver"):
            reader.read({"$omegaconf": [data, []]}, "x")
    assert ran == []


def test_an_omegaconf_argument_is_kept_as_it_was_at_the_call() -> None:
    config = OmegaConf.create(CONFIG)
    model = Holding(config.layers[0].width)
    config.hidden = 9
    assert constructed(model).value == 2
    whole = Holding(OmegaConf.create(CONFIG))
    assert constructed(whole).value.layers[0].width == 2


def test_the_recipe_of_an_exponential_average_goes_on_averaging() -> None:
    model = nn.Linear(2, 1)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(model)
    back = rebuilt(average)
    with torch.no_grad():
        model.weight.add_(1)
    for either in (average, back):
        either.update_parameters(model)
    assert torch.equal(back.module.weight, average.module.weight)
    assert rebuilt(Holding(get_swa_avg_fn())).value.__qualname__.startswith("get_swa_avg_fn")


class FrozenDict(OrderedDict):  # type: ignore[type-arg]
    """The config of diffusers: a dict that nobody may change once it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            super().__setattr__(key, value)
        super().__setattr__("frozen", True)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("frozen")

    def __setitem__(self, key: Any, value: Any) -> None:
        if "frozen" in self.__dict__:
            raise TypeError("frozen")
        super().__setitem__(key, value)


def test_a_frozen_dict_comes_back_in_its_order() -> None:
    value = FrozenDict(width=3, depth=[1, 2])
    back = rebuilt(Holding(value)).value
    assert type(back) is FrozenDict
    assert list(back.items()) == list(value.items())
    assert back.depth is back["depth"]
    with pytest.raises(TypeError):
        back["width"] = 4


def test_a_class_that_no_checkpoint_may_name_is_what_stands_in_the_way() -> None:
    found = problems(Holding([threading.Thread, inspect.Parameter.empty]))
    assert "nothing that a checkpoint may refer to" in found["value.0"]
    assert len(found) == 1


def test_a_dict_that_answers_for_attributes_comes_back() -> None:
    value = AttributeDict(width=3, inner=AttributeDict(depth=2))
    back = rebuilt(Holding(value)).value
    assert back.inner.depth == 2
    assert type(back) is AttributeDict
    assert constructed(Holding(value)).value == value


def test_a_forward_that_was_replaced_by_a_function_is_bound_again() -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2))
    model[0].forward = double_forward.__get__(model[0])
    back: Any = rebuilt(model, trust=TESTS)
    x = torch.randn(1, 2)
    assert torch.equal(back(x), model(x))
    assert back[0].forward.__self__ is back[0]


def with_prefix(prefix: str, self: nn.Module) -> str:
    return prefix


def test_a_partial_that_was_bound_to_a_module_is_bound_again() -> None:
    model: Any = nn.Linear(1, 1)
    model.extra_repr = types.MethodType(functools.partial(with_prefix, "quantised"), model)
    assert repr(rebuilt(model, trust=TESTS)) == "Linear(quantised)"


def test_a_classmethod_comes_back() -> None:
    assert isinstance(rebuilt(Holding(Holding.made)).value(), Holding)


def test_what_compiling_in_place_left_behind_is_no_part_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model.compile()
    assert rebuilt(model)._compiled_call_impl is None


@pytest.mark.parametrize(
    "value",
    [
        {"$builtin": "eval"},
        {"$builtin": "getattr"},
        {"$builtin": ["int"]},
        {"$generic": [{"$builtin": "len"}, {"$tuple": []}]},
        {"$generic": [{"$class": "torch.nn.modules.linear:Linear"}, {"$tuple": []}]},
        {"$generic": 3},
        {"$annotation": ["TYPE_CHECKING", None]},
        {"$annotation": ["cast", {"$tuple": []}]},
        {"$annotation": ["|", {"$tuple": []}]},
        {"$annotation": ["Optional", 3]},
        {"$torch_closure": ["update_bn", {}]},
        {"$torch_closure": ["get_ema_avg_fn", {"nothing": 1}]},
        {"$omegaconf": [3, []]},
        {"$omegaconf": ["x: 1", []]},
        {"$omegaconf": [{"x": {"$builtin": "int"}}, []]},
        {"$omegaconf": [{"x": {"$tuple": [1]}}, []]},
        {"$omegaconf": [{}, ["__class__"]]},
        {"$classmethod": ["torch.nn.modules.linear:Linear", "forward"]},
        {"$classmethod": ["os:environ", "get"]},
        {"$bound": [{"$function": "os:system"}, {"$module": 0}]},
        {"$bound": [{"$builtin": "len"}, {"$module": 0}]},
        {"$bound": [{"$function": "torch.nn.functional:relu"}, {"$builtin": "int"}]},
    ],
    ids=str,
)
def test_a_tag_makes_only_what_it_is_for(value: Any) -> None:
    reader = Reader([], Imports(), lambda index, path: nn.Identity(), lambda slot, path: slot)
    with pytest.raises(TrackerError):
        reader.read(value, "x")
