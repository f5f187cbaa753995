from __future__ import annotations

import argparse
import contextlib
import json
import math
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tracker.errors import FormatError, UnstorableError
from tracker.values import MAX_DEPTH, TensorTable, decode, encode
from tracker.values.leaves import LEAF_BY_TAG


def stored(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return the JSON as it is read back from a manifest, whose keys are sorted."""
    table = TensorTable()
    data = encode(value, "x", tensor=table.add)
    return json.loads(json.dumps(data, sort_keys=True, allow_nan=False)), table.tensors


def roundtrip(value: Any) -> Any:
    data, tensors = stored(value)
    return decode(data, "x", tensor=lambda name, path: tensors[name])  # type: ignore[index]


def no_tensor(data: Any, path: str) -> Tensor:
    raise AssertionError("no tensor expected")


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashable | st.binary().map(bytearray) | st.slices(10),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.sets(hashable, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("$tuple"), inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict)
        | st.dictionaries(st.text(), inner, max_size=3).map(lambda d: defaultdict(list, d))
        | st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=4))
        | st.dictionaries(st.text(), inner, max_size=3).map(lambda d: types.SimpleNamespace(**d))
    ),
    max_leaves=20,
)


def kinds(value: Any) -> Any:
    """Return the types of a value and of its parts: 1, 1.0 and True are equal, but not the same."""
    kind = type(value)
    if isinstance(value, dict):
        return kind, [(kinds(key), kinds(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return kind, [kinds(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(str(kinds(item)) for item in value)
    return kind


@given(values)
def test_every_nesting_comes_back_equal_of_the_same_types_and_in_order(value: Any) -> None:
    back = roundtrip(value)
    assert back == value
    assert kinds(back) == kinds(value)


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": 2},
        {"$tuple": 1},
        {},
        {1: "a", "1": "b"},
        {True: 0},
        {(1, 2): None},
        OrderedDict([("z", 1), ("a", 2)]),
        Counter("aab"),
        defaultdict(None, {"a": 1}),
        defaultdict(int, {"a": 1}),
        deque(),
        deque([1, 2], maxlen=2),
        frozenset({(1, 2)}),
        argparse.Namespace(lr=0.1, sizes=[1, 2]),
        types.SimpleNamespace(a=types.SimpleNamespace()),
        slice(1, None, (2,)),
        [[], (), set()],
        2**70,
        -0.0,
        "",
        "é\u2028",
    ],
)
def test_containers_of_every_kind(value: Any) -> None:
    back = roundtrip(value)
    assert back == value
    assert kinds(back) == kinds(value)


def test_order_and_limits_of_containers_are_kept() -> None:
    assert list(roundtrip({"b": 1, "a": 2})) == ["b", "a"]
    assert roundtrip(deque([1], maxlen=3)).maxlen == 3
    assert roundtrip(defaultdict(set)).default_factory is set
    assert roundtrip(defaultdict(None)).default_factory is None


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e308, 5e-324])
def test_floats_are_exact(value: float) -> None:
    assert roundtrip(value) == value
    assert math.isnan(roundtrip(math.nan))
    assert math.copysign(1, roundtrip(-0.0)) == -1


def test_plain_dicts_stay_readable() -> None:
    assert stored({"lr": 0.1, "steps": [1, 2]})[0] == {"lr": 0.1, "steps": [1, 2]}


def test_tensors_go_to_the_caller_under_their_paths() -> None:
    tensor = torch.ones(2)
    data, tensors = stored({"a": [tensor], "b": tensor})
    assert data == {"a": [{"$tensor": "x.a.0"}], "b": {"$tensor": "x.a.0"}}
    assert tensors["x.a.0"] is tensor


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array(3.5),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.arange(6).reshape(2, 3).T,
        np.arange(10)[::-2],
        np.array([1.5], dtype=np.float16),
        np.array([7], dtype=np.uint64),
    ],
)
def test_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    back = roundtrip(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)


def test_arrays_of_the_other_byte_order_keep_their_values() -> None:
    assert roundtrip(np.array([1, 256], dtype=">i4")).tolist() == [1, 256]


def test_arrays_are_copied_when_they_are_written() -> None:
    array = np.zeros(2)
    _, tensors = stored(array)
    array[0] = 1
    assert tensors["x"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"builtins\.object.*without pickle"),
        (lambda: 0, r"builtins\.function"),
        (np.array([None]), "Python objects"),
        (np.zeros(1, dtype=[("a", "i4")]), "fields"),
        (np.array(["a"]), "ndarray"),
        (np.zeros(1, dtype=np.longdouble), "torch has no tensors of"),
        (np.dtype((np.float32, (2,))), "does not fully describe"),
        (np.dtype([("a", "i4")]), "does not fully describe"),
        (type("Text", (str,), {})("a"), "Text"),
        (type("Dict", (dict,), {})(), "Dict"),
        (defaultdict(lambda: 0), "defaultdict"),
        (torch.ones(2, 2).to_mkldnn(), "mkldnn"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(UnstorableError, match=message) as refused:
        stored({"a": [value]})
    assert refused.value.path == "x.a.0"


def test_cycles_and_endless_nesting_are_refused() -> None:
    cycle: list[Any] = []
    cycle.append({"again": cycle})
    with pytest.raises(UnstorableError, match="contains itself"):
        stored(cycle)
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert roundtrip(deep) == deep
    with pytest.raises(UnstorableError, match="nested more than"):
        stored([deep])


def test_the_deepest_nesting_of_tagged_values_can_be_read_back() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = {1: deep}
    assert roundtrip(deep) == deep


def test_the_same_list_twice_is_no_cycle() -> None:
    part = [1]
    assert roundtrip([part, part]) == [[1], [1]]


def test_special_hooks_see_what_is_not_plain() -> None:
    data = encode([object], "x", tensor=no_tensor, special=lambda v, path: {"$class": path})  # type: ignore
    assert data == [{"$class": "x.0"}]
    seen = decode(data, "x", tensor=no_tensor, special=lambda *args: args)
    assert seen == [("$class", "x.0", "x.0")]


@pytest.mark.parametrize(
    "data",
    [
        {"$unknown": 1},
        {"$tuple": 1, "$set": 2},
        {"$tuple": 3},
        {"$set": [[1]]},
        {"$dict": [[1]]},
        {"$dict": [[[], 1]]},
        {"$dict": 3},
        {"$float": "1e5"},
        {"$float": []},
        {"$counter": 3},
        {"$deque": []},
        {"$deque": [[], "x"]},
        {"$slice": [1, 2, 3, 4]},
        {"$defaultdict": ["eval", []]},
        {"$defaultdict": [[], []]},
        {"$namespace": [[1, 2]]},
        {"$simplenamespace": [["a"]]},
        {"$ordered": [1]},
        {"$frozenset": None},
        {"$dict": {"ab": 1}},
    ],
)
def test_json_that_encode_does_not_write_is_a_format_error(data: Any) -> None:
    with pytest.raises(FormatError, match=r"^x"):
        decode(data, "x", tensor=no_tensor)


def test_json_nested_without_end_is_a_format_error() -> None:
    for wrap in (lambda d: [d], lambda d: {"a": d}, lambda d: {"$tuple": [d]}):
        data: Any = 1
        for _ in range(900):
            data = wrap(data)
        with pytest.raises(FormatError):
            decode(data, "x", tensor=no_tensor)


TAGS = sorted(
    {
        "$tuple",
        "$set",
        "$frozenset",
        "$dict",
        "$ordered",
        "$counter",
        "$namespace",
        "$simplenamespace",
        "$deque",
        "$slice",
        "$defaultdict",
        *LEAF_BY_TAG,
    }
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.builds(
            lambda tag, inner: {tag: inner},
            st.sampled_from(TAGS),
            inner,
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_json_is_a_value_or_a_format_error(data: Any) -> None:
    with contextlib.suppress(FormatError):
        decode(data, "x", tensor=no_tensor)
