"""A described module tree as one line for each module: where it is, its class, its attributes."""

from __future__ import annotations

import json
from typing import Any

from tracker.architecture.description import modules_of, objects_of
from tracker.errors import FormatError
from tracker.types import Json

_MAX_DEPTH = 6
_OF_EVERY_MODULE = "_is_full_backward_hook"
"""torch keeps it among the attributes."""


def outline(structure: Json) -> dict[str, str]:
    """Return a text for every module of a description, by its path in the tree.

    A module in two places is under the path where it is met first, and says so at the other.

    Raises:
        FormatError: The description is malformed.

    Example:
        >>> outline(checkpoint.architecture.structure)["head"]
        'torch.nn.modules.linear:Linear(in_features=384, out_features=10)'
    """
    entries, objects = modules_of(structure), objects_of(structure)
    try:
        return _outline(entries, objects)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"structure: the module tree is malformed: {error!r}.") from error


def _outline(entries: list[dict[str, Any]], objects: list[Json]) -> dict[str, str]:
    texts: dict[str, str] = {}
    met: dict[int, str] = {}
    pending = [(0, "")]
    while pending:
        index, path = pending.pop()
        if index in met:
            texts[path] = f"the same as {met[index] or 'the model itself'}"
            continue
        met[index] = path
        entry = entries[index]
        texts[path] = _module_text(entry, objects)
        children = [
            (child, f"{path}.{name}" if path else str(name))
            for name, child in entry["children"]
            if child is not None
        ]
        pending += reversed(children)
    return texts


def _module_text(entry: dict[str, Any], objects: list[Json]) -> str:
    name = entry["class"] if isinstance(entry["class"], str) else _value_text(entry["class"], [], 0)
    attributes = ", ".join(
        f"{key}={_value_text(value, objects, 0)}"
        for key, value in entry["attributes"].items()
        if key != _OF_EVERY_MODULE
    )
    hooks = f" with hooks {_value_text(entry['hooks'], objects, 0)}" if entry.get("hooks") else ""
    return f"{name}({attributes}){hooks}"


def _value_text(value: Json, objects: list[Json], depth: int) -> str:
    """Return a value as text; objects stand where they are referred to."""
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, list):
        return "[" + ", ".join(_value_text(item, objects, depth + 1) for item in value) + "]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    index = value.get("$object")
    if type(index) is int and 0 <= index < len(objects):
        return _value_text(objects[index], objects, depth + 1)
    if len(value) == 1:
        (key, inner), *_ = value.items()
        shown = inner if isinstance(inner, str) else _value_text(inner, objects, depth + 1)
        return f"{key.removeprefix('$')} {shown}" if key.startswith("$") else f"{{{key}: {shown}}}"
    items = (f"{key}: {_value_text(item, objects, depth + 1)}" for key, item in value.items())
    return "{" + ", ".join(items) + "}"
