from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from tracker.architecture.nesting import MAX_DEPTH, MAX_VISITS, check_entries, check_model
from tracker.errors import FormatError


def entries(*children: list[int | None]) -> list[dict[str, Any]]:
    return [{"children": [[str(i), c] for i, c in enumerate(each)]} for each in children]


def chain(length: int, times: int = 1) -> list[dict[str, Any]]:
    """Modules of which each is so many times inside of the one before it."""
    return entries(*([i + 1] * times for i in range(length - 1)), [])


def test_trees_with_sharing_and_empty_places_pass() -> None:
    check_entries(entries([1, 2, None, 1], [3], [3], []))
    check_model(nn.Sequential(nn.Linear(1, 1), nn.ModuleDict({"x": nn.ReLU()})))


@pytest.mark.parametrize("children", [[[0]], [[1], [0]], [[1], [2], [1]]])
def test_a_module_inside_of_itself_is_refused(children: Any) -> None:
    with pytest.raises(FormatError, match="inside of itself"):
        check_entries(entries(*children))


@pytest.mark.parametrize("child", [1, -1, "0", True, 1.0, [0]])
def test_a_child_that_does_not_exist_is_refused(child: Any) -> None:
    with pytest.raises(FormatError, match="there is no module"):
        check_entries(entries([child]))


def test_modules_deeper_than_torch_can_walk_are_refused() -> None:
    check_entries(chain(MAX_DEPTH))
    with pytest.raises(FormatError, match="deep inside"):
        check_entries(chain(MAX_DEPTH + 1))


def test_a_model_as_deep_as_is_allowed_can_be_walked() -> None:
    model: nn.Module = nn.Linear(1, 1)
    for _ in range(MAX_DEPTH - 1):
        model = nn.Sequential(model)
    check_model(model)
    assert len(model.eval().state_dict()) == 2
    with pytest.raises(FormatError, match="deep inside"):
        check_model(nn.Sequential(model))


def test_few_modules_with_a_billion_ways_through_them_are_refused() -> None:
    with pytest.raises(FormatError, match="walking through"):
        check_entries(chain(30, times=2))
    model: nn.Module = nn.Linear(1, 1)
    for _ in range(30):
        model = nn.Sequential(model, model)
    with pytest.raises(FormatError, match="walking through"):
        check_model(model)


def test_more_modules_than_any_model_has_are_refused() -> None:
    with pytest.raises(FormatError, match="are allowed"):
        check_entries([{}] * (MAX_VISITS + 1))
    with pytest.raises(FormatError, match="walking through"):
        check_entries(entries([1] * MAX_VISITS, []))


def test_a_model_whose_child_is_itself_is_refused() -> None:
    model = nn.Sequential()
    model._modules["0"] = model
    with pytest.raises(FormatError, match="inside of itself"):
        check_model(model)
