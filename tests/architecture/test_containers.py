"""Containers that a model holds in several places are one container again."""

from __future__ import annotations

import argparse
from collections import Counter, OrderedDict, defaultdict, deque
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from tests.architecture.roundtrip import call_of, constructed, rebuilt, stored
from tracker.architecture.structure import describe_tree


class Holding(nn.Module):
    def __init__(self, first: Any, second: Any = None) -> None:
        super().__init__()
        self.first, self.second = first, second


CONTAINERS = [
    [1, 2],
    {"b": 1, "a": 2},
    {"a": 1},
    {3, 4},
    deque([1, 2]),
    deque([1, 2], maxlen=2),
    OrderedDict(b=1, a=2),
    defaultdict(list, {"a": [1]}),
    Counter("aab"),
    SimpleNamespace(a=1),
    argparse.Namespace(b=2),
]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: f"{type(c).__name__}")
def test_a_container_in_two_modules_is_one_again(container: Any) -> None:
    model = nn.Sequential(Holding(container), Holding({"deep": [container]}))
    back: Any = rebuilt(model)
    assert back[0].first == container
    assert type(back[0].first) is type(container)
    assert back[1].first["deep"][0] is back[0].first


def test_equal_containers_stay_two() -> None:
    back: Any = rebuilt(nn.Sequential(Holding([1]), Holding([1])))
    assert back[0].first is not back[1].first


def test_a_list_that_is_given_twice_to_a_constructor_is_one_again() -> None:
    inner = [1, 2]
    back: Any = constructed(Holding({"a": inner, "b": inner}, inner))
    assert back.first["a"] is back.first["b"] is back.second


def test_a_container_may_contain_itself() -> None:
    tree: dict[str, Any] = {"children": []}
    tree["children"].append({"parent": tree})
    back: Any = rebuilt(Holding(tree)).first
    assert back["children"][0]["parent"] is back


def test_a_container_that_is_met_once_is_written_in_place() -> None:
    structure: Any = stored(describe_tree(Holding([1, [2]])).structure)
    assert structure["objects"] == []
    assert structure["modules"][0]["attributes"]["first"] == [1, [2]]
    call: Any = call_of(Holding([1, [2]]))
    assert call["objects"] == []
