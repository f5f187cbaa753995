"""Puts a checkpoint's state into a live model, optimizer and scheduler: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tracker.architecture.imports import Imports
from tracker.architecture.reader import malformed
from tracker.architecture.rebuild import read_state_values
from tracker.architecture.slots import TensorPool
from tracker.architecture.wrappers import plain_key, unwrapped
from tracker.errors import FormatError, InvalidArgumentError, MismatchError
from tracker.format import StoredCheckpoint
from tracker.loading.restore import restore_state_dict
from tracker.loading.together import Load, load_together
from tracker.types import Json
from tracker.values import decode

_MAX_NAMED = 5


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
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(f"model is a {type(model).__name__}, not a torch.nn.Module.")
    if state is not None and not isinstance(state, Mapping):
        raise InvalidArgumentError(f"state must be a dict by name, not {type(state).__name__}.")
    if verify:
        stored.verify()
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
    weights: dict[str, Any] = dict(restore_state_dict(stored, verify=False))
    weights.update(_extra_state(stored, model))
    problems = _differences(weights, model)
    if problems:
        text = stored.manifest.architecture.model_text
        raise MismatchError(_report(f"The model is not the one that was logged ({text})", problems))
    # Parts of the live model may be compiled, which puts a word into their keys.
    names = {plain_key(key): key for key in model.state_dict()}
    return {names.get(key) or key: value for key, value in weights.items()}


def _differences(weights: Mapping[str, Any], model: nn.Module) -> list[str]:
    """Return what keeps weights from going into a model, key by key."""
    saved = {k: v for k, v in weights.items() if isinstance(v, Tensor)}
    own = {plain_key(k): v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    problems = [f"{key} is missing in the checkpoint" for key in own if key not in saved]
    problems += [f"{key} is not in the model" for key in saved if key not in own]
    return problems + [
        f"{key} is {list(saved[key].shape)} in the checkpoint and {list(own[key].shape)} in the "
        "model"
        for key in own
        if key in saved and not is_lazy(own[key]) and saved[key].shape != own[key].shape
    ]


def _extra_state(stored: StoredCheckpoint, model: nn.Module) -> dict[str, Any]:
    """Return the state_dict's entries that are not tensors (``get_extra_state``)."""
    values = stored.manifest.state_values
    if not values:
        return {}
    pool = TensorPool(lambda group, name: stored.tensor(group, name, verify=False))
    structure = stored.manifest.architecture.structure
    return read_state_values(values, structure, Imports(), model, pool)


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
    if entry.get("class") != kind:
        raise MismatchError(
            f"{name} is a {kind}, but the checkpoint holds the state of a {entry.get('class')}; "
            f"make {name} as the training script did. Nothing was changed."
        )
    saved = _decode(stored, entry["state_dict"], name)
    with malformed(name):
        if isinstance(part, nn.Module):
            problems = _differences(saved, part)
            if problems:
                raise MismatchError(_report(f"{name} is not the module that was logged", problems))
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
        raise MismatchError(_report(f"The state of {name} does not fit", problems))


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


def _report(what: str, problems: list[str]) -> str:
    shown = "\n".join(f"  {problem}" for problem in problems[:_MAX_NAMED])
    more = f"\n  and {len(problems) - _MAX_NAMED} more" if len(problems) > _MAX_NAMED else ""
    return f"{what}; nothing was changed:\n{shown}{more}"
