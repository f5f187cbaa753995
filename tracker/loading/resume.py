"""Puts a checkpoint's state into a live model, optimizer and scheduler: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tracker.architecture.reader import malformed
from tracker.architecture.wrappers import unwrapped
from tracker.errors import FormatError, InvalidArgumentError, MismatchError
from tracker.format import StoredCheckpoint
from tracker.loading.fitting import compare_weights, live_keys, refusal
from tracker.loading.into import check_model
from tracker.loading.together import Load, load_together
from tracker.loading.weights import restore_state_for
from tracker.types import Json
from tracker.values import decode


def resume_training(
    stored: StoredCheckpoint,
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> dict[str, Any]:
    """Load a checkpoint into live objects.

    Everything is read and compared before the first object is touched.

    Args:
        stored: The opened files.
        model: The model to load into; its keys and shapes must be those of the checkpoint.
        optimizer: Takes the optimizer state, if given.
        scheduler: Takes the scheduler state, if given.
        state: The objects that were logged as ``state=``, by the same names. Plain values are
            not loaded into anything; they are returned.
        verify: Compare every byte with its digest first.

    Returns:
        The plain values that were logged in ``state=``, by name.

    Raises:
        MismatchError: Something does not fit, or the checkpoint has no such state.
    """
    check_model(model)
    if state is not None and not isinstance(state, Mapping):
        raise InvalidArgumentError(f"state must be a dict by name, not {type(state).__name__}.")
    if verify:
        stored.verify(again=False)
    inner = unwrapped(model)
    loads = [Load("model", inner, _weights(stored, inner))]
    saved = _saved(stored)
    given = {"optimizer": optimizer, "scheduler": scheduler}
    for name, part in given.items():
        if part is not None:
            loads.append(_load(stored, saved.get(name), part, name))
    entries = _entries(saved)
    for name, part in (state or {}).items():
        loads.append(_load(stored, entries.get(name), part, f"state.{name}"))
    values = {
        name: _decode(stored, entry["value"], f"state.{name}")
        for name, entry in entries.items()
        if "value" in entry
    }
    load_together(loads)
    return values


def _saved(stored: StoredCheckpoint) -> dict[str, Any]:
    training = stored.manifest.training
    if training is None:
        return {}
    if not isinstance(training, dict):
        raise FormatError("training: expected an object.")
    return training


def _entries(saved: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was logged as ``state=``, by name."""
    entries = saved.get("state") or {}
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise FormatError("training.state: expected an object of objects.")
    return entries


def _decode(stored: StoredCheckpoint, data: Json, name: str) -> Any:
    return decode(
        data, name, tensor=lambda key, path: stored.tensor("training", str(key), verify=False)
    )


def _weights(stored: StoredCheckpoint, model: nn.Module) -> dict[str, Any]:
    weights = restore_state_for(model, stored, verify=False)
    problems = compare_weights(weights, model).problems()
    if problems:
        text = stored.manifest.architecture.model_text
        raise MismatchError(refusal(f"The model is not the one that was logged ({text})", problems))
    return live_keys(weights, model)


def _load(stored: StoredCheckpoint, entry: Any, part: Any, name: str) -> Load:
    """Check one part against what was saved of it; return the load that will be safe."""
    if entry is None:
        raise MismatchError(
            f"The checkpoint holds no {name}: it was logged without it. Leave {name} out, or "
            "resume from a checkpoint that was logged with it."
        )
    if not all(callable(getattr(part, m, None)) for m in ("state_dict", "load_state_dict")):
        raise InvalidArgumentError(
            f"{name} is a {type(part).__name__}, which has no load_state_dict()."
        )
    if not isinstance(entry, dict) or "state_dict" not in entry:
        raise MismatchError(f"{name} was logged as a plain value; resume() returns such values.")
    kind = f"{type(part).__module__}:{type(part).__qualname__}"
    if entry.get("class") not in (None, kind):  # None: it was imported, and nothing said of what
        raise MismatchError(
            f"{name} is a {kind}, but the checkpoint holds the state of a {entry.get('class')}; "
            f"make {name} as the training script did. Nothing was changed."
        )
    saved = _decode(stored, entry["state_dict"], name)
    with malformed(name):
        if isinstance(part, nn.Module):
            problems = compare_weights(saved, part).problems()
            if problems:
                raise MismatchError(refusal(f"{name} is not the module that was logged", problems))
        elif isinstance(saved, dict) and "param_groups" in saved and hasattr(part, "param_groups"):
            _check_groups(saved, part, name)
    return Load(name, part, saved)


def _check_groups(saved: dict[str, Any], optimizer: Any, name: str) -> None:
    """Compare an optimizer's parameter groups and per-parameter state with the live parameters."""
    old, new = saved["param_groups"], optimizer.param_groups
    if len(old) != len(new):
        raise MismatchError(
            f"{name} has {len(new)} parameter groups, the checkpoint {len(old)}. "
            "Nothing was changed."
        )
    problems: list[str] = []
    for index, (before, now) in enumerate(zip(old, new, strict=True)):
        if len(before["params"]) != len(now["params"]):
            problems.append(
                f"group {index} has {len(now['params'])} parameters, the checkpoint "
                f"{len(before['params'])}"
            )
            continue
        for key, parameter in zip(before["params"], now["params"], strict=True):
            problems += [
                f"{what} of parameter {key} is {list(value.shape)}, the parameter "
                f"{list(parameter.shape)}"
                for what, value in saved.get("state", {}).get(key, {}).items()
                if _is_misshapen(value, parameter, what)
            ]
    if problems:
        raise MismatchError(refusal(f"The state of {name} does not fit", problems))


_ELEMENTWISE = frozenset(
    {
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
        "momentum_buffer",
        "square_avg",
        "acc_delta",
        "grad_avg",
        "sum",
        "ax",
        "prev",
    }
)
"""State that torch's optimizers keep in the shape of the parameter."""


def _is_misshapen(value: Any, parameter: Tensor, what: str) -> bool:
    return (
        what in _ELEMENTWISE
        and isinstance(value, Tensor)
        and value.dim() > 0
        and value.shape != parameter.shape
    )
