"""Lightning's ``.ckpt``: weights, hyperparameters, loops, optimizers and callbacks in one dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from tracker.errors import FormatError
from tracker.importing.contents import Contents
from tracker.importing.file_names import read_name
from tracker.importing.hyperparameters import as_params, count, number
from tracker.importing.weights import is_state_dict, plain_weights

_MARKS = ("pytorch-lightning_version", "hyper_parameters", "optimizer_states", "lr_schedulers",
          "callbacks", "loops", "hparams_name", "datamodule_hyper_parameters")  # fmt: skip
_OWN = frozenset({"state_dict", "epoch", "global_step", "optimizer_states", "lr_schedulers"})


def is_lightning(loaded: Mapping[Any, Any]) -> bool:
    """Return whether a dict is what Lightning's trainer saves."""
    marks = sum(mark in loaded for mark in _MARKS)
    return "state_dict" in loaded and ("pytorch-lightning_version" in loaded or marks >= 2)


def read_lightning(loaded: Mapping[Any, Any], where: str) -> Contents:
    """Return what Lightning saved.

    Raises:
        FormatError: Its weights are no state_dict.
    """
    if not is_state_dict(loaded["state_dict"]):
        raise FormatError(
            f"{where}: is a checkpoint of Lightning whose state_dict is empty or none."
        )
    optimizers = _listed(loaded.get("optimizer_states"))
    schedulers = _listed(loaded.get("lr_schedulers"))
    params: dict[str, str] = {}
    for name in ("datamodule_hyper_parameters", "hyper_parameters"):
        if isinstance(loaded.get(name), Mapping):
            params |= as_params(loaded[name])
    epoch = count(loaded.get("epoch"))
    return Contents(
        "lightning",
        plain_weights(loaded["state_dict"]),
        epoch=epoch,
        step=count(loaded.get("global_step")),
        metrics=_scores(loaded.get("callbacks"), PurePath(where).name, epoch),
        params=params,
        optimizer=optimizers[0] if len(optimizers) == 1 else None,
        scheduler=schedulers[0] if len(schedulers) == 1 else None,
        states=_numbered("optimizer", optimizers) | _numbered("scheduler", schedulers),
        values={str(key): value for key, value in loaded.items() if key not in _OWN},
    )


def _listed(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _numbered(name: str, found: list[Any]) -> dict[str, Any]:
    return {f"{name}_{i}": state for i, state in enumerate(found)} if len(found) > 1 else {}


def _scores(callbacks: Any, file: str, epoch: int | None) -> dict[str, float]:
    """Return what the ModelCheckpoint callbacks say of this very checkpoint."""
    scores: dict[str, float] = {}
    for state in callbacks.values() if isinstance(callbacks, Mapping) else ():
        if isinstance(state, Mapping) and isinstance(state.get("monitor"), str):
            score = _score(state, file, epoch)
            if score is not None:
                scores[state["monitor"]] = score
    return scores


def _score(state: Mapping[str, Any], file: str, epoch: int | None) -> float | None:
    """Return one callback's score of a file: its own, the latest, or the best if that is it."""
    kept = state.get("best_k_models")
    for path, value in kept.items() if isinstance(kept, Mapping) else ():
        if _name(path) == file and number(value) is not None:
            return number(value)
    latest = number(state.get("current_score"))
    if latest is not None:
        return latest
    best = _name(state.get("best_model_path"))
    best_epoch = read_name(best).epoch
    is_this = best in ("", file) or (best_epoch is not None and best_epoch == epoch)
    return number(state.get("best_model_score")) if is_this else None


def _name(path: Any) -> str:
    text = str(path or "")
    return (PureWindowsPath(text) if "\\" in text else PurePosixPath(text)).name
