"""Folders of Hugging Face's Trainer and of Accelerate: ``checkpoint-500/``, weights and more."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import CorruptCheckpointError, FormatError, TrackerError
from tracker.format.files import opened
from tracker.importing.contents import Contents
from tracker.importing.hyperparameters import as_params, count, number
from tracker.importing.safe_load import kind_of, load_safetensors, load_torch
from tracker.importing.weights import is_state_dict, plain_weights

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = tuple(
    f"{name}{suffix}"
    for suffix in (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
    for name in ("model", "pytorch_model", "adapter_model", "diffusion_pytorch_model")
)
"""Names of the weights in such a folder, in the order in which they are looked for."""

STATE, CONFIGURATIONS = "trainer_state.json", ("config.json", "adapter_config.json")
TRAINING = {
    "optimizer": ("optimizer.pt", "optimizer.bin"),
    "scheduler": ("scheduler.pt", "scheduler.bin"),
    "scaler": ("scaler.pt",),
    "rng_state": ("rng_state.pth",),
}
COMPANIONS = re.compile(
    r"(optimizer|scheduler|scaler|training_args)(_\d+)?\.(pt|bin)|rng_state(_\d+)?\.pth"
)
"""Other files of such a folder that end like weights."""

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|bin|pt|pth)")
_MAX_JSON = 64 << 20
_NO_METRICS = frozenset({"epoch", "step", "total_flos"})


def shard_of(name: str) -> tuple[str, int] | None:
    """Return which model a file is a shard of, and of how many; None if it is none.

    Example:
        >>> shard_of("model-00001-of-00002.safetensors")
        ('model.safetensors', 2)
    """
    found = _SHARD.fullmatch(name)
    return None if found is None else (f"{found[1]}.{found[4]}", int(found[3]))


def read_folder(folder: Path, files: tuple[str, ...], *, copy: bool) -> Contents:
    """Return what a folder holds.

    Args:
        folder: The folder.
        files: Names in it that belong together; the first is the weights, or their index.
        copy: Whether to read the tensors into memory.

    Raises:
        TrackerError: Its weights can't be read.
    """
    weights = plain_weights(_weights(folder, files, copy=copy))
    state = _json(folder / STATE) if STATE in files else {}
    config = next((_json(folder / name) for name in CONFIGURATIONS if name in files), {})
    names = config.get("architectures")
    architecture = names[0] if isinstance(names, list) and names else ""
    training, notes = _training(folder, files, copy=copy)
    if "training_args.bin" in files:
        notes.append("training_args.bin is a pickle of transformers' own, and was not opened")
    step = count(state.get("global_step"))
    return Contents(
        "hugging face" if state or config else "accelerate",
        weights,
        epoch=count(state.get("epoch")),
        step=step,
        metrics=_metrics(state, step),
        params=as_params(config) | _arguments(state),
        optimizer=training.pop("optimizer", None),
        scheduler=training.pop("scheduler", None),
        states={"scaler": training.pop("scaler")} if "scaler" in training else {},
        values={**training, **({"trainer_state": state} if state else {})},
        architecture=architecture if isinstance(architecture, str) else "",
        notes=tuple(notes),
    )


def load_weights(path: Path, *, copy: bool) -> dict[str, Any]:
    """Return the state_dict that one file of a folder is."""
    if kind_of(path) == "safetensors":
        return dict(load_safetensors(path, copy=copy)[0])
    loaded = load_torch(path, copy=copy)
    if not is_state_dict(loaded):
        raise FormatError(f"{path}: is no state_dict, as the weights of such a folder are.")
    return dict(loaded)


def _weights(folder: Path, files: tuple[str, ...], *, copy: bool) -> dict[str, Any]:
    first = files[0]
    if first.endswith(".index.json"):
        return _indexed(folder, first, copy=copy)
    shard = shard_of(first)
    if shard is None:
        return load_weights(folder / first, copy=copy)
    shards = [name for name in files if shard_of(name) == shard]
    if len(shards) != shard[1]:
        raise CorruptCheckpointError(
            f"{folder / first}: is one of {shard[1]} parts of a model, of which {len(shards)} are "
            "here; nothing was imported of them."
        )
    merged: dict[str, Any] = {}
    for name in shards:
        merged |= load_weights(folder / name, copy=copy)
    return merged


def _indexed(folder: Path, index: str, *, copy: bool) -> dict[str, Any]:
    places = _json(folder / index).get("weight_map")
    if not isinstance(places, Mapping) or not all(isinstance(f, str) for f in places.values()):
        raise FormatError(f"{folder / index}: has no weight_map of names and files.")
    merged: dict[str, Any] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file:
            raise FormatError(f"{folder / index}: names the file {file!r} outside of its folder.")
        merged |= load_weights(folder / file, copy=copy)
    missing = [name for name in places if name not in merged]
    if missing:
        raise CorruptCheckpointError(
            f"{folder / index}: names {len(missing)} tensors that no file has, such as "
            f"{missing[0]!r}."
        )
    return merged


def _training(
    folder: Path, files: tuple[str, ...], *, copy: bool
) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    notes: list[str] = []
    for part, names in TRAINING.items():
        for name in names:
            if name in files:
                try:
                    found[part] = load_torch(folder / name, copy=copy)
                except TrackerError as error:  # the weights are worth it without
                    notes.append(f"without {name}: {error}")
    return found, notes


def _json(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        data = file.read(_MAX_JSON + 1)
    try:
        if len(data) > _MAX_JSON:
            raise ValueError(f"it has more than {_MAX_JSON} bytes")
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: can't be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: is no JSON object.")
    return value


def read_metrics(path: Path) -> dict[str, Any]:
    """Return the JSON object of metrics that lies beside a checkpoint.

    Raises:
        FormatError: It is none.
    """
    return _json(path)


def _metrics(state: Mapping[str, Any], step: int | None) -> dict[str, float]:
    """Return what was logged at the checkpoint's own step."""
    history = state.get("log_history")
    found: dict[str, float] = {}
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, Mapping) and step is not None and count(entry.get("step")) == step:
            numbers = {str(key): number(value) for key, value in entry.items()}
            found |= {k: v for k, v in numbers.items() if v is not None and k not in _NO_METRICS}
    return found


def _arguments(state: Mapping[str, Any]) -> dict[str, str]:
    names = ("num_train_epochs", "max_steps", "train_batch_size", "eval_steps", "logging_steps")
    return as_params({name: state[name] for name in names if state.get(name) is not None})


def build_model(folder: Path, name: str) -> nn.Module:
    """Return the model of a folder's ``config.json``, constructed by its class in transformers.

    Only a class of transformers itself is made: code that a folder or a hub brings never runs.

    Raises:
        TrackerError: transformers is not installed, or can't make it; says why.
    """
    if importlib.util.find_spec("transformers") is None:
        raise FormatError("transformers, which has its class, is not installed")
    config = _json(folder / "config.json")
    if "auto_map" in config:
        raise FormatError("its code is not part of transformers (trust_remote_code)")
    transformers: Any = __import__("transformers")
    from torch import nn

    cls = getattr(transformers, name, None)
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise FormatError(f"transformers has no model class {name!r}")
    try:
        made = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        model: nn.Module = cls(made)
    except Exception as error:
        raise FormatError(f"{name} can't be made of config.json: {error}") from error
    return model
