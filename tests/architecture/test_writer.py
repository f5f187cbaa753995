"""Writer and reader are one subject: what one writes the other reads."""

from __future__ import annotations

import enum
import functools
import json
import logging
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import tracker
from tests import models
from tracker.architecture.containers import Sharing
from tracker.architecture.imports import Imports
from tracker.architecture.keeping import Held, KeptPartial, Lost, keep_arguments
from tracker.architecture.reader import Reader
from tracker.architecture.trust import Trust
from tracker.architecture.writer import Writer
from tracker.errors import FormatError, UntrustedCheckpointError

OWN = Imports(trust=Trust().extended(["tests.models"]))


class Room:
    """A writer and the reader of what it wrote."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.tensors: list[Tensor] = []
        self.writer = Writer(self._module, self._tensor, Sharing())

    def _module(self, module: nn.Module, path: str) -> Any:
        self.modules.append(module)
        return {"$module": len(self.modules) - 1}

    def _tensor(self, tensor: Tensor, path: str) -> Any:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def written(self, value: Any) -> Any:
        return json.loads(json.dumps(self.writer.write(value, "x"), sort_keys=True))

    def read(self, data: Any, objects: Any = None, imports: Imports = OWN) -> Any:
        table = json.loads(json.dumps(self.writer.objects)) if objects is None else objects
        reader = Reader(
            table,
            imports,
            module=lambda index, path: self.modules[index],  # type: ignore[index]
            tensor=lambda index, path: self.tensors[index],  # type: ignore[index]
        )
        return reader.read(data, "x")

    def roundtrip(self, value: Any) -> Any:
        data = self.written(value)
        assert self.writer.problems == []
        return self.read(data)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(
        [models.Mode.FAST, models.Flags.A | models.Flags.B, models.Net, torch.float32]
    )
    | st.builds(models.Config, st.integers(), st.sampled_from(models.Mode))
    | st.builds(models.Frozen, st.integers())
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(models.Point, inner, inner)
        | st.builds(lambda a: models.Config(parts=a), inner)
        | st.builds(lambda items: OrderedDict(items), st.lists(st.tuples(st.text(), inner)))
        | st.builds(lambda items: deque(items, maxlen=5), st.lists(inner))
    ),
    max_leaves=15,
)


@given(values)
def test_nested_values_come_back_equal_and_of_their_type(value: Any) -> None:
    back = Room().roundtrip(value)
    assert back == value
    assert type(back) is type(value)


@given(values)
def test_what_is_kept_of_an_argument_comes_back_as_the_argument(value: Any) -> None:
    (kept,), _ = keep_arguments((value,), {})
    assert Room().roundtrip(kept) == value


def test_objects_are_one_entry_however_often_they_are_met() -> None:
    room, config = Room(), models.Config()
    back = room.roundtrip([config, (config, config)])
    assert len(room.writer.objects) == 1
    assert back[0] is back[1][1]


def test_loggers_partials_methods_and_callables_come_back() -> None:
    room = Room()
    assert room.roundtrip(logging.getLogger("a.b")) is logging.getLogger("a.b")
    partial = room.roundtrip(functools.partial(models.double, models.Config(5), y=[1]))
    assert partial.func is models.double
    assert (partial.args, partial.keywords) == ((models.Config(5),), {"y": [1]})
    assert room.roundtrip(models.Doubler(4))(2) == 8
    assert room.roundtrip(models.Doubler(4).__call__)(2) == 8


def test_kept_partials_are_written_as_partials() -> None:
    room = Room()
    kept = keep_arguments((functools.partial(models.double, 2),), {})[0][0]
    assert isinstance(kept, KeptPartial)
    assert room.roundtrip(kept)(*()) == 4


def test_lost_and_gone_arguments_are_opaque_with_a_problem() -> None:
    room = Room()
    held = keep_arguments((torch.ones(2),), {})[0][0]
    assert isinstance(held, Held)
    assert "$opaque" in room.written(held)
    assert "$opaque" in room.written([Lost(int)])[0]
    assert [problem.path for problem in room.writer.problems] == ["x", "x.0"]


def test_only_the_part_that_can_not_be_stored_is_opaque() -> None:
    room = Room()
    data = room.written({"fine": 1, "not": lambda: 0})
    assert data["fine"] == 1
    assert list(data["not"]) == ["$opaque"]
    assert room.writer.problems[0].path == "x.not"


def test_opaque_values_can_not_be_read() -> None:
    with pytest.raises(FormatError, match="opaque"):
        Room().read({"$opaque": ["a"]})


def test_arrays_and_tensors_go_to_the_caller() -> None:
    room = Room()
    back = room.roundtrip([torch.ones(2), np.arange(3)])
    assert back[0] is room.tensors[0]
    assert back[1].tolist() == [0, 1, 2]


class Trap:
    """Every way by which filling an object could run code of its class."""

    def __init__(self) -> None:
        raise AssertionError("constructed")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError("__setattr__")

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("__setstate__")

    @property
    def trap(self) -> int:
        return 1

    @trap.setter
    def trap(self, value: int) -> None:
        raise AssertionError("property")


class Dropped:
    def __del__(self) -> None: ...


HERE = Imports(trust=Trust().extended([__name__]))


def test_filling_an_object_runs_nothing_of_its_class() -> None:
    attributes = {"trap": 1, "__class__": {"$class": "tests.models:Net"}, "plain": 2}
    objects = [{"class": f"{__name__}:Trap", "attributes": attributes}]
    made = Room().read({"$object": 0}, objects, HERE)
    assert type(made) is Trap
    assert made.plain == 2


class Lenient(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value: Any) -> Lenient:
        raise AssertionError("_missing_")


class Bits(enum.Flag):
    A = 1
    B = 2


def test_a_member_of_an_enum_is_found_without_running_its_class() -> None:
    assert Room().read({"$enum": [f"{__name__}:Lenient", 1]}, [], HERE) is Lenient.ONE
    with pytest.raises(FormatError, match="no member"):
        Room().read({"$enum": [f"{__name__}:Lenient", 2]}, [], HERE)


def test_several_flags_in_one_come_back() -> None:
    assert Room().roundtrip(models.Flags.A | models.Flags.B) == models.Flags.A | models.Flags.B
    assert Room().read({"$enum": [f"{__name__}:Bits", 0]}, [], HERE) == Bits(0)
    with pytest.raises(FormatError):
        Room().read({"$enum": [f"{__name__}:Bits", 4]}, [], HERE)


class Saving(nn.Linear):
    save = tracker.Checkpoint.export


def test_methods_are_of_the_models_own_modules() -> None:
    room = Room()
    room.modules = [Saving(1, 1)]
    data = {"$method": [{"$module": 0}, "save"]}
    with pytest.raises(UntrustedCheckpointError, match="another module than the model's own"):
        room.read(data, [], HERE)
    method = room.read(data, [], Imports(trust=Trust(frozenset({"tracker"}))))
    assert method.__func__ is tracker.Checkpoint.export


@pytest.mark.parametrize("tag", ["$logger", "$class", "$function"])
def test_a_name_without_end_is_none(tag: str) -> None:
    with pytest.raises(FormatError, match="is no name"):
        Room().read({tag: "a." * 1_000_000 + "a:b"}, [])


def test_objects_that_do_something_when_dropped_are_refused() -> None:
    objects = [{"class": f"{__name__}:Dropped", "attributes": {}}]
    with pytest.raises(UntrustedCheckpointError, match="dropped"):
        Room().read({"$object": 0}, objects, HERE)


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [None],
        [3],
        [{}],
        [{"class": "tests.models:Config"}],
        [{"class": 3, "attributes": {}}],
        [{"class": "tests.models:Point", "attributes": {}}],
        [{"class": "tests.models:Slotted", "attributes": {"nowhere": 1}}],
        [{"class": "tests.models:Config", "attributes": {"a": {"$object": 5}}}],
    ],
)
def test_malformed_objects_are_format_errors(objects: Any) -> None:
    with pytest.raises(FormatError):
        Room().read({"$object": 0}, objects)


@pytest.mark.parametrize(
    "data",
    [
        {"$enum": 3},
        {"$enum": ["tests.models:Mode"]},
        {"$enum": ["tests.models:Mode", "no"]},
        {"$partial": []},
        {"$partial": [3, [], {}]},
        {"$method": [1]},
        {"$method": ["text", "upper"]},
        {"$logger": 3},
        {"$function": 3},
        {"$class": None},
        {"$object": "0"},
        {"$object": True},
        {"$weakref": 3},
        {"$unknown": 1},
        {"$module": 99},
    ],
)
def test_malformed_values_are_format_errors(data: Any) -> None:
    with pytest.raises(FormatError):
        Room().read(data)


def test_nesting_without_end_is_a_format_error() -> None:
    data: Any = {"$function": "torch:relu"}
    for _ in range(500):
        data = {"$partial": [data, [], {}]}
    with pytest.raises(FormatError):
        Room().read(data)
