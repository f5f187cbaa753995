"""A described module tree as one line for each module."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models import Config, Net
from tracker.architecture.structure import describe_tree
from tracker.errors import FormatError
from tracker.loading.outline import outline

TREE: dict[str, Any] = {
    "modules": [
        {
            "class": "a:Net",
            "attributes": {"size": 3, "config": {"$object": 0}, "name": "x"},
            "children": [["one", 1], ["two", 1], ["none", None]],
        },
        {"class": {"$parametrized": "a:Linear"}, "attributes": {}, "children": []},
    ],
    "objects": [{"$tuple": [1, {"$object": 0}]}],
}


def test_a_module_is_its_class_and_its_attributes() -> None:
    assert outline(TREE)[""].startswith("a:Net(size=3, config=tuple [1, tuple [1, ")
    assert outline(TREE)[""].endswith('name="x")')
    assert outline(TREE)["one"] == "parametrized a:Linear()"


def test_a_module_in_two_places_is_shown_in_the_first() -> None:
    assert outline(TREE)["two"] == "the same as one"
    assert list(outline(TREE)) == ["", "one", "two"]


def test_real_models_have_an_outline() -> None:
    model = Net(hidden=4)
    model.config = Config()  # type: ignore[assignment]
    found = outline(describe_tree(model).structure)
    assert list(found) == ["", "layers", "layers.0", "head"]
    assert "width: 3" in found[""]
    assert found["head"].endswith("Linear(in_features=4, out_features=2)")


@pytest.mark.parametrize(
    "structure",
    [
        None,
        {"modules": [{}]},
        {"modules": [{"class": "a:B", "attributes": {}, "children": [["x", 7]]}]},
        {"modules": [{"class": "a:B", "attributes": {}, "children": [["x", []]]}]},
        {"modules": [{"class": "a:B", "attributes": [], "children": []}]},
        {"modules": [{"class": "a:B", "attributes": {}, "children": 3}]},
    ],
)
def test_a_malformed_description_is_a_format_error(structure: Any) -> None:
    with pytest.raises(FormatError, match="structure: "):
        outline(structure)
