"""Checkpoints and errors as JSON and back, the same for the service and for its clients.

JSON has no NaN and no infinities: these numbers are the texts that MLflow's REST API uses,
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tracker import errors
from tracker.errors import CatalogError, TrackerError
from tracker.types import CheckpointRecord, Json

PREFIX = "/api/1"
"""Begins the path of every question; the number changes when an old client would misunderstand."""

MOST_RESULTS = 1_000
"""Checkpoints in one answer."""

MOST_RANKED = 10_000
"""Checkpoints in the answer to a question that has no pages: the best few, the Pareto front."""

_FIELDS = tuple(field.name for field in fields(CheckpointRecord))
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ERRORS: Mapping[str, type[TrackerError]] = {
    cls.__name__: cls
    for cls in (
        errors.InvalidArgumentError,
        errors.InvalidMetricError,
        errors.FilterSyntaxError,
        errors.NotFoundError,
        errors.CatalogError,
        errors.RecordError,
        errors.RecordUnreachableError,
        errors.NotAuthenticatedError,
    )
}
"""What a service may raise at its client."""


def record_to_json(record: CheckpointRecord) -> dict[str, Json]:
    """Return a checkpoint as JSON; its times are milliseconds since 1970-01-01 UTC."""
    metrics = {name: number_to_json(value) for name, value in record.metrics.items()}
    return {
        **{name: getattr(record, name) for name in _FIELDS},
        "metrics": metrics,
        "params": dict(record.params),
        "tags": dict(record.tags),
    }


def record_from_json(data: Any) -> CheckpointRecord:
    """Return the checkpoint of `record_to_json`; fields that a newer service adds are ignored.

    Raises:
        CatalogError: It is none.
    """
    try:
        metrics = {name: number_from_json(value) for name, value in data["metrics"].items()}
        return CheckpointRecord(**{**{name: data[name] for name in _FIELDS}, "metrics": metrics})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(
            "The tracker service answered with something that is no checkpoint "
            f"({type(error).__name__}: {error}). Is it of another version than this client?"
        ) from error


def number_to_json(value: float) -> float | str:
    """Return a number, or the text that stands for one that JSON lacks."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from_json(value: Any) -> float:
    """Return the number of `number_to_json`.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str):
        if value not in _SPECIAL:
            raise ValueError(f"{value!r} is no number")
        return _SPECIAL[value]
    return float(value)


def error_to_json(name: str, message: str) -> dict[str, str]:
    """Return an error as JSON."""
    return {"error": name, "message": message}


def name_of(error: TrackerError) -> str:
    """Return the name that clients know an error by: its own, or that of what it is a kind of.

    What else goes wrong in a service is a trouble with its catalog to them.
    """
    known = (cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _ERRORS)
    return next(known, CatalogError.__name__)


def error_from_json(data: Any) -> TrackerError | None:
    """Return the error of `error_to_json`, or None if it is none of those a service raises."""
    if not isinstance(data, dict) or not isinstance(data.get("message"), str):
        return None
    cls = _ERRORS.get(str(data.get("error")))
    return None if cls is None else cls(data["message"])
