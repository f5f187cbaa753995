"""Compares two descriptions of a module tree: is what was rebuilt the model that was logged?"""

from __future__ import annotations

from typing import Any, cast

from tracker.types import Json


def comparable(structure: Json) -> Json:
    """Return a description without what training changes and loading restores by itself.

    Left out: training flags, and of tensors their dtype, requires_grad and memory format.
    """
    if isinstance(structure, list):
        return [comparable(item) for item in structure]
    if not isinstance(structure, dict):
        return structure
    if _is_slot(structure):
        return {k: structure[k] for k in ("group", "name", "shape", "parameter")}
    return {
        key: comparable(value)
        for key, value in structure.items()
        if not (key == "training" and structure.keys() >= _MODULE_KEYS)
    }


_MODULE_KEYS = {"class", "parameters", "buffers", "children", "attributes"}
_SLOT_KEYS = {"group", "name", "dtype", "shape", "parameter", "requires_grad"}


def _is_slot(data: dict[str, Json]) -> bool:
    # A dict of the user's could have some of these keys.
    return data.keys() >= _SLOT_KEYS and data["group"] in ("model", "architecture")


def skeleton(structure: Json) -> Json:
    """Return a comparable description without the attributes that loading can set by itself."""
    if not isinstance(structure, dict):
        return structure
    modules = cast("list[dict[str, Any]]", structure["modules"])
    return {
        "modules": [
            {**entry, "attributes": _opaque_attributes(entry["attributes"])} for entry in modules
        ]
    }


def _opaque_attributes(attributes: dict[str, Json]) -> dict[str, Json]:
    return {n: v for n, v in attributes.items() if isinstance(v, dict) and "$opaque" in v}


def first_difference(one: Json, other: Json) -> str:
    """Return the attribute path where two comparable descriptions first differ, for messages."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return "the model"
    ones = cast("list[dict[str, Json]]", one["modules"])
    others = cast("list[dict[str, Json]]", other["modules"])
    if len(ones) != len(others):
        return f"the number of modules ({len(ones)}, rebuilt {len(others)})"
    for index, (a, b) in enumerate(zip(ones, others, strict=True)):
        for key in a:
            if a[key] != b.get(key):
                return f"{key} of module {index} ({a['class']}){_inside(a[key], b.get(key))}"
    return "the objects that attributes refer to"


def _inside(one: Json, other: Json) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        return ": " + ", ".join(names[:5])
    return ""
