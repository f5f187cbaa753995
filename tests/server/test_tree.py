"""The architecture as a tree."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from tracker.architecture.structure import describe_tree
from tracker.errors import FormatError
from tracker.server.tree import DEEPEST, MOST_MODULES, Module, Tree, attributes_text, make_tree
from tracker.types import TensorEntry


def tree_of(model: nn.Module) -> Tree:
    tensors = {
        name: TensorEntry("float32", tuple(tensor.shape), "0" * 64, "model.safetensors")
        for name, tensor in model.state_dict().items()
    }
    return make_tree(describe_tree(model).structure, tensors)


def lines(module: Module, depth: int = 0) -> list[str]:
    times = f"{module.times} x " if module.times > 1 else ""
    name = f"{'  ' * depth}{module.name or 'model'}: {times}{module.class_name}"
    return [name, *(line for child in module.children for line in lines(child, depth + 1))]


def test_equal_blocks_are_one_line_with_their_number() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    model = nn.Sequential(block(), block(), block(), nn.Linear(4, 2))

    assert lines(tree_of(model).root) == [
        "model: Sequential",
        "  0 to 2: 3 x Sequential",
        "    0: Linear",
        "    1: ReLU",
        "  3: Linear",
    ]


def test_blocks_that_differ_deep_inside_are_not_taken_for_equal() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Sequential(nn.Dropout(p))) for p in (0.1, 0.1, 0.2)))

    assert [child.name for child in tree_of(model).root.children] == ["0 to 1", "2"]


def test_parameters_are_counted_with_those_of_the_children_and_without_buffers() -> None:
    tree = tree_of(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)))

    assert tree.root.parameters == (3 * 5 + 5) + (5 + 5) + (5 * 2 + 2)
    assert [child.parameters for child in tree.root.children] == [20, 10, 12]
    assert tree.modules == 4


def test_a_module_in_two_places_is_named_at_the_second() -> None:
    shared = nn.Linear(3, 3)

    tree = tree_of(nn.Sequential(shared, nn.ReLU(), shared))

    assert tree.root.children[2].class_name == "the same as 0"
    assert tree.root.parameters == 12


def test_attributes_are_written_as_python_does() -> None:
    convolution = tree_of(nn.Conv2d(1, 8, 3, bias=False)).root

    assert convolution.class_name == "Conv2d"
    assert "kernel_size=(3, 3)" in convolution.attributes
    assert "padding_mode='zeros'" in convolution.attributes
    assert "_reversed" not in convolution.attributes
    assert attributes_text({"deep": [[[[[[[1]]]]]]], "one": {"$tuple": [1]}}, []) == (
        "deep=[[[[[…]]]]], one=(1,)"
    )


def test_a_tree_too_large_for_a_page_is_cut_from_below() -> None:
    wide = nn.Sequential(*(nn.Linear(1, 1 + n) for n in range(MOST_MODULES + 10)))
    deep: nn.Module = nn.Linear(1, 1)
    for _ in range(DEEPEST * 2):
        deep = nn.Sequential(deep, nn.ReLU())

    cut, cut_deep = tree_of(wide), tree_of(deep)

    assert (cut.cut, cut.shown) == (True, MOST_MODULES)
    assert cut.modules == MOST_MODULES + 11
    assert cut_deep.cut
    assert len(lines(cut_deep.root)) == cut_deep.shown == 2 * DEEPEST + 1


@pytest.mark.parametrize(
    "structure",
    [
        None,
        {"modules": []},
        {"modules": [{"class": "a:B"}]},
        {"modules": [{"class": 7, "attributes": [], "children": [], "parameters": []}]},
        {"modules": [{"class": "a:B", "attributes": {}, "children": [["x", 9]], "parameters": []}]},
        {"modules": [{"class": "a:B", "attributes": {}, "children": "xy", "parameters": [1]}]},
    ],
)
def test_what_is_no_module_tree_is_an_error_of_the_format(structure: Any) -> None:
    with pytest.raises(FormatError, match="module tree"):
        make_tree(structure, {})
