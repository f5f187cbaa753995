"""Looks into the JSON of a description: its modules, its objects, what a value holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracker.errors import FormatError
from tracker.types import Json

TENSOR_TAGS = ("$tensor", "$ndarray")
OPAQUE_TAGS = ("$opaque",)


def modules_of(structure: Json) -> list[dict[str, Any]]:
    """Return the module entries of a structure, checked to be a list of objects."""
    entries = structure.get("modules") if isinstance(structure, dict) else None
    if not isinstance(entries, list) or not entries:
        raise FormatError("structure: the manifest holds no module tree.")
    if not all(isinstance(entry, dict) for entry in entries):
        raise FormatError("structure: a module of the tree is not an object.")
    return entries  # type: ignore[return-value]


def objects_of(structure: Json) -> list[Json]:
    """Return the table of objects that values refer to by index."""
    objects = structure.get("objects") if isinstance(structure, dict) else None
    return objects if isinstance(objects, list) else []


def _nodes(data: Json, objects: list[Json]) -> Iterator[dict[str, Json]]:
    """Yield every JSON object inside of a value, those of the table that it refers to included."""
    pending: list[Json] = [data]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            yield node
            index = node.get("$object")
            if type(index) is int and 0 <= index < len(objects) and index not in seen:
                seen.add(index)
                pending.append(objects[index])
            pending.extend(node.values())


def holds(data: Json, objects: list[Json], tags: tuple[str, ...]) -> bool:
    """Return whether a value contains one of ``tags``, itself or in an object of the table."""
    return any(tag in node for node in _nodes(data, objects) for tag in tags)


def hides_tensor(data: Json, objects: list[Json]) -> bool:
    """Return whether something that can't be stored holds a tensor, whose values would be lost."""
    return any(
        "$opaque" in node and holds(node["$opaque"], objects, TENSOR_TAGS)
        for node in _nodes(data, objects)
    )


def parents_of(entries: list[dict[str, Any]]) -> dict[int, int]:
    """Return for each module but the first the one whose child it is, where it was met first."""
    parents: dict[int, int] = {}
    for index, entry in enumerate(entries):
        for _, child in entry["children"]:
            if child is not None and child != 0:
                parents.setdefault(child, index)
    return parents
