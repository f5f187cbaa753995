"""Compares two descriptions of a module tree: is what was rebuilt the model that was logged?"""

from __future__ import annotations

from typing import Any, cast

from tracker.types import Json


def comparable(structure: Json) -> Json:
    """Return a description without what training changes and loading restores by itself.

    Left out: training flags, the calls that make what can't be stored, and of tensors their dtype,
    requires_grad, strides and whose memory they share.
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
        if not (key in ("training", "call") and structure.keys() >= _MODULE_KEYS)
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
    """Return where two comparable descriptions first differ, for messages."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return "the model"
    ones = cast("list[dict[str, Any]]", one["modules"])
    others = cast("list[dict[str, Any]]", other["modules"])
    paths = _paths(ones)
    for index, (a, b) in enumerate(zip(ones, others, strict=False)):
        for key in {**a, **b}:
            if a.get(key) != b.get(key):
                where = paths.get(index) or "the model itself"
                return f"{key} of {where} ({_shown(a['class'])}){_inside(a.get(key), b.get(key))}"
    if len(ones) != len(others):
        return f"the number of modules ({len(ones)}, rebuilt {len(others)})"
    return "the objects that attributes refer to"


def _paths(modules: list[dict[str, Any]]) -> dict[int, str]:
    """Return the path of every module in the tree, by its index in the description."""
    paths = {0: ""}
    pending = [0]
    while pending:
        index = pending.pop()
        for name, child in modules[index]["children"]:
            if child is not None and child not in paths:
                paths[child] = f"{paths[index]}.{name}" if paths[index] else name
                pending.append(child)
    return paths


def _shown(name: Json) -> str:
    if isinstance(name, dict):
        return f"a class of {next(iter(name), '')[1:]}"
    return str(name)


def _inside(one: Json, other: Json) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        return ": " + ", ".join(names[:5])
    return ""
