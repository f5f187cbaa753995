"""Canonical JSON: the same value is always the same bytes, and reading refuses everything doubtful.

Keys sorted by code point, no spaces, UTF-8, no NaN. Reading refuses what parsers disagree about:
duplicate keys, NaN and numbers beyond a double, other encodings, and nesting without end.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

from tracker.errors import FormatError, UnstorableError
from tracker.types import Json

MAX_NESTING = 500
"""Levels of objects and lists; typed values need four a level, see ``tracker.values.MAX_DEPTH``."""

MAX_CONTAINERS = 5_000_000
"""Objects and lists, counted by their brackets. Three bytes of JSON can be a hundred of memory; the
largest models have a million."""


def dumps(value: Json, *, sort_keys: bool = True) -> bytes:
    """Return ``value`` as canonical JSON.

    Args:
        value: Plain JSON.
        sort_keys: False keeps the order of keys, where the order is chosen on purpose.

    Raises:
        UnstorableError: It is not plain JSON (NaN, an object of Python, endless nesting).
    """
    try:
        text = json.dumps(
            value,
            sort_keys=sort_keys,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError("", f"The manifest can't be written as JSON: {error}") from error
    # A lone surrogate (a file name that is not UTF-8) has no UTF-8 bytes. It stands inside a JSON
    # string, where the backslash form of Python is JSON's own escape.
    data = text.encode("utf-8", "backslashreplace")
    if _has_too_many(data):
        raise UnstorableError("", f"A manifest holds {MAX_CONTAINERS} objects and lists at most.")
    return data


def loads(data: bytes, where: str) -> Json:
    """Return the value that ``data`` holds.

    Args:
        data: UTF-8 JSON.
        where: The file, for errors.

    Raises:
        FormatError: It is not JSON, or JSON that readers could understand in different ways.
    """
    if _has_too_many(data):
        raise FormatError(f"{where}: holds more than {MAX_CONTAINERS} objects and lists.")
    try:
        value: Json = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        raise FormatError(f"{where}: is not the JSON of a checkpoint: {error}.") from error
    if _is_deeper_than(value, MAX_NESTING):
        raise _too_deep(where)
    return value


def _has_too_many(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > MAX_CONTAINERS


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} does not fit a double")
    return value


def _is_deeper_than(value: Json, limit: int) -> bool:
    level: list[Json] = [value]
    for _ in range(limit + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _too_deep(where: str) -> FormatError:
    return FormatError(f"{where}: nested more than {MAX_NESTING} levels deep; nobody wrote that.")
