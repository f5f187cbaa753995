"""What the user asked to be logged, checked before anything is written."""

from __future__ import annotations

import math
import numbers
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.errors import InvalidArgumentError, InvalidMetricError
from tracker.record.tags import KEEP
from tracker.retention import Retention

METRIC_STEP = "import_metric_step"
"""The tag of an imported checkpoint whose metrics its run has at another step than its own."""

_NAME = re.compile(r"[/\w.\- :]+")
_MAX_NAME_LENGTH = 250
_MAX_TAG_LENGTH = 5000
_MAX_STEP = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint to be logged; every field is valid.

    Attributes:
        epoch: Epoch, or None.
        step: Step as given, or None.
        metrics: Finite, infinite or NaN floats by name.
        tags: Text by name.
        retention: Which checkpoints stay when this one is in MLflow; None: all.
    """

    epoch: int | None
    step: int | None
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    retention: Retention | None = None

    @property
    def name(self) -> str:
        """The logged model's name: ``epoch-6``, ``epoch-6-step-1200``, ``step-1200``."""
        parts = {"epoch": self.epoch, "step": self.step}
        named = [f"{key}-{value}" for key, value in parts.items() if value is not None]
        return "-".join(named) or "checkpoint"

    @property
    def mlflow_step(self) -> int:
        """Where MLflow's charts show it: the step, else the epoch, else 0.

        One that was imported from a run stays where the run has logged its metrics.
        """
        logged = self.tags.get(METRIC_STEP, "")
        if logged.isascii() and logged.isdecimal() and int(logged) <= _MAX_STEP:
            return int(logged)
        return next((n for n in (self.step, self.epoch) if n is not None), 0)


def check_request(
    epoch: object, step: object, metrics: object, tags: object, retention: object = None
) -> Request:
    """Return the request that the arguments of ``log_checkpoint`` make.

    Raises:
        InvalidArgumentError: An argument is of the wrong type or out of range.
        InvalidMetricError: A metric is not a number, or MLflow does not allow its name.
    """
    if retention is not None and not isinstance(retention, Retention):
        raise InvalidArgumentError(
            f"retention is of type {type(retention).__name__}; expected a tracker.Retention, for "
            "example tracker.Retention(keep_last=3)."
        )
    return Request(
        epoch=_check_count("epoch", epoch),
        step=_check_count("step", step),
        metrics=_check_metrics(metrics),
        tags=_check_tags(tags),
        retention=retention,
    )


def _check_count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgumentError(
            f"{name}={value!r} is of type {type(value).__name__}; expected an integer, 0 or more."
        )
    number = int(value)
    if not 0 <= number <= _MAX_STEP:
        raise InvalidArgumentError(
            f"{name}={number} is out of range; expected 0 or more, and no more than 64 bits hold."
        )
    return number


def _check_metrics(metrics: Any) -> dict[str, float]:
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise InvalidMetricError(
            f"metrics must be a dict of numbers by name, not {type(metrics).__name__}; "
            'for example metrics={"val_loss": 0.31}.'
        )
    return {_check_metric_name(name): _number(name, value) for name, value in metrics.items()}


def _check_metric_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidMetricError(
            f"The metric name {name!r} can't be logged: MLflow allows letters, digits, "
            "underscores, dashes, periods, spaces, colons and slashes."
        )
    if len(name) > _MAX_NAME_LENGTH or not _is_plain_path(name):
        raise InvalidMetricError(
            f"The metric name {name[:60]!r} can't be logged: MLflow wants at most "
            f"{_MAX_NAME_LENGTH} characters, and slashes only between names (train/loss)."
        )
    return name


def _is_plain_path(name: str) -> bool:
    """Return whether MLflow may use a name as a file's: it asks the same."""
    return posixpath.normpath(name) == name and name != "." and not name.startswith(("..", "/"))


def _number(name: str, value: Any) -> float:
    """Return a metric as a float; tensors and arrays of one element count as numbers."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and math.prod(shape) == 1 and hasattr(value, "item"):
        try:
            value = value.item()
        except (RuntimeError, TypeError, ValueError) as error:
            raise InvalidMetricError(f"The metric {name!r} has no value: {error}.") from error
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        hint = " (take .mean() or .item() first)" if shape is not None else ""
        raise InvalidMetricError(
            f"The metric {name!r} is {str(value)[:60]!r}, a {type(value).__name__}; "
            f"expected one real number{hint}."
        )
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidMetricError(f"The metric {name!r} is too large for a float.") from error


def _check_tags(tags: Any) -> dict[str, str]:
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise InvalidArgumentError(f"tags must be a dict of text, not {type(tags).__name__}.")
    checked: dict[str, str] = {}
    for name, value in tags.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidArgumentError(f"The tag name {name!r} can't be logged by MLflow.")
        if name.startswith(("tracker.", "mlflow.")) and name != KEEP:
            raise InvalidArgumentError(f"Tag names that start like {name!r} are reserved.")
        text = str(value)
        if not _is_storable(text):
            raise InvalidArgumentError(
                f"The tag {name!r} is {text[:60]!r}; NUL characters and surrogates can't be kept."
            )
        if len(name) > _MAX_NAME_LENGTH or len(text) > _MAX_TAG_LENGTH:
            raise InvalidArgumentError(
                f"The tag {name[:60]!r} is too long: names have at most {_MAX_NAME_LENGTH} and "
                f"values {_MAX_TAG_LENGTH} characters."
            )
        checked[name] = text
    return checked


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
