"""Hyperparameters as a checkpoint holds them -> params: text by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

_FORBIDDEN = re.compile(r"[^/\w.\- :]")
_MAX_NAME = 250
_MAX_TEXT = 6000
_MOST = 500
_MOST_NESTED = 60
_MAX_DEPTH = 4


def as_params(values: Mapping[Any, Any]) -> dict[str, str]:
    """Return hyperparameters as params, nested ones by names with dots.

    Larger dicts are one text, and so are lists. Names that MLflow does not allow get underscores.

    Example:
        >>> as_params({"lr": 0.1, "optim": {"name": "sgd"}})
        {'lr': '0.1', 'optim.name': 'sgd'}
    """
    found: dict[str, str] = {}
    _collect(values, "", found, 0)
    return found


def _collect(values: Mapping[Any, Any], prefix: str, found: dict[str, str], depth: int) -> None:
    for key, value in values.items():
        name = allowed_name(f"{prefix}{key}")
        if not name or len(found) >= _MOST:
            continue
        if isinstance(value, Mapping) and depth < _MAX_DEPTH and 0 < len(value) <= _MOST_NESTED:
            _collect(value, f"{name}.", found, depth + 1)
        else:
            text = _text(value)
            if text is not None:
                found.setdefault(name, text[:_MAX_TEXT])


def allowed_name(name: str) -> str:
    """Return a name as MLflow allows it for metrics and params, or "" if nothing is left of it.

    Example:
        >>> allowed_name("acc@1 (%)")
        'acc_1 ___'
    """
    text = _FORBIDDEN.sub("_", name).strip()[:_MAX_NAME]
    parts = [part for part in text.split("/") if part.strip(".")]
    return "/".join(parts)


def _text(value: Any) -> str | None:
    """Return a value as people wrote it, or None if it is none to show, as a tensor."""
    plain = _plain(value)
    if plain is None and value is not None:
        return None
    text = plain if isinstance(plain, str) else None
    if text is None and isinstance(plain, (list, dict)):
        text = json.dumps(plain, ensure_ascii=False, default=str)
    return _storable(str(plain) if text is None else text)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 and not value.is_meta else None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, int, float, str, PurePath, torch.dtype, torch.device, complex)):
        return value if isinstance(value, (bool, int, float, str)) else str(value)
    return None


def _storable(text: str) -> str:
    """Return a text without what databases can't hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def number(value: Any) -> float | None:
    """Return the number that a value is, a tensor or array of one element too; else None."""
    if isinstance(value, (Tensor, np.ndarray)):
        size = value.size if isinstance(value, np.ndarray) else value.numel()
        if size != 1 or (isinstance(value, Tensor) and value.is_meta):
            return None
        value = value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count(value: Any) -> int | None:
    """Return the epoch or step that a value is: a whole number, 0 or more; else None."""
    found = number(value)
    if found is None or not math.isfinite(found) or found < 0 or found != int(found):
        return None
    return int(found) if found < 2**63 else None
