"""Runs the recorded example with a rebuilt model, when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from tracker.errors import FormatError, InvalidArgumentError, TrackerError
from tracker.example.comparison import Parts, compare
from tracker.example.running import device_of, run
from tracker.types import Comparison, Json
from tracker.values import decode

FetchTensor = Callable[[Json, str], Tensor]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What `recording.record` wrote, checked."""

    input: Json
    output: Parts
    deterministic: bool
    random: bool
    device: str


def replay(model: nn.Module, document: Json, fetch: Callable[[str], Tensor]) -> Comparison | None:
    """Return how a model's output compares with what was logged; None for one on the meta device.

    The model and the random generators are left as they were. That the model fails is a
    difference, not an error.

    Args:
        model: The rebuilt model.
        document: What `recording.record` wrote.
        fetch: Returns a stored tensor by name.

    Raises:
        FormatError: The document is malformed.
    """
    device = device_of(model)
    if device.type == "meta":
        return None

    def tensor(name: Json, path: str) -> Tensor:
        if not isinstance(name, str):
            raise FormatError(f"{path}: {name!r} is not the name of a tensor.")
        return fetch(name)

    recorded = _read(document, tensor)
    try:
        now = run(model, recorded.input, tensor)
    except InvalidArgumentError as error:
        return Comparison("different", reason=str(error))
    except TrackerError:
        raise
    except Exception as error:  # noqa: BLE001 - the model is there; what it does is reported
        return Comparison("different", reason=f"it fails: {type(error).__name__}: {error}")
    incomparable = _why_incomparable(recorded, device.type)
    found = compare(recorded.output, now.output.parts, values=not incomparable)
    return replace(found, reason=incomparable) if found.verdict == "same shapes" else found


def _why_incomparable(recorded: _Recorded, device: str) -> str:
    if not recorded.deterministic:
        return "the model gave another output each time when it was logged"
    if recorded.random and recorded.device != device:
        return f"the model draws random numbers, and {device} draws others than {recorded.device}"
    return ""


def _read(document: Any, tensor: FetchTensor) -> _Recorded:
    kinds = {"output": list, "deterministic": bool, "random": bool, "device": str}
    if not isinstance(document, dict) or "input" not in document:
        raise FormatError("example: expected an object with an input.")
    for key, kind in kinds.items():
        if type(document.get(key)) is not kind:
            raise FormatError(f"example.{key}: expected a {kind.__name__}.")
    parts = []
    for part in document["output"]:
        if not isinstance(part, list) or len(part) != 2 or not isinstance(part[0], str):
            raise FormatError("example.output: expected pairs of a path and a value.")
        parts.append((part[0], decode(part[1], f"example.{part[0]}", tensor=tensor)))
    return _Recorded(
        document["input"],
        parts,
        document["deterministic"],
        document["random"],
        document["device"],
    )
