"""Reads one checkpoint: its content first, then what lies beside it, its run and its name say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import basename, dirname
from typing import Any, TypeAlias

from blake3 import blake3

from tracker.errors import CorruptCheckpointError, FormatError
from tracker.importing import hugging_face, safe_load
from tracker.importing.contents import Contents
from tracker.importing.discover import Found
from tracker.importing.file_names import Named, read_name
from tracker.importing.hyperparameters import as_params, count, number
from tracker.importing.layouts import recognise
from tracker.importing.weights import plain_weights

Points: TypeAlias = Mapping[str, Mapping[int, float]]
"""Values of a run's metrics, by name and step."""

_COUNTS = frozenset({"epoch", "step", "global_step"})
_OF_TRACKER = "tracker."


def digest_of(folder: Path, found: Found) -> str:
    """Return the digest of a checkpoint's files: that of the file, if it is one.

    Raises:
        CorruptCheckpointError: A file is not there, or is no regular file.
    """
    digests = {path: safe_load.file_digest(folder / path) for path in found.files}
    if len(digests) == 1:
        return next(iter(digests.values()))
    named = {basename(path): digest for path, digest in digests.items()}
    return blake3(json.dumps(named, sort_keys=True).encode()).hexdigest()


def stamps(folder: Path, found: Found) -> list[safe_load.Snapshot]:
    """Return what tells whether a checkpoint's files change while they are read.

    Raises:
        CorruptCheckpointError: A file is not there, or is no regular file.
    """
    return [safe_load.snapshot(folder / path) for path in found.files]


def read(folder: Path, found: Found, *, copy: bool) -> Contents:
    """Return what a checkpoint holds.

    Args:
        folder: The folder below which its files are.
        found: The checkpoint.
        copy: Whether to read its tensors into memory, where nobody changes them.

    Raises:
        TrackerError: It can't be read, or is none.
    """
    contents = _content(folder, found, copy=copy)
    if found.metrics:
        return _with_sidecar(contents, hugging_face.read_metrics(folder / found.metrics))
    return contents


def check_unchanged(before: Sequence[safe_load.Snapshot], folder: Path, found: Found) -> None:
    """Raise CorruptCheckpointError if a checkpoint's files are not what they were."""
    if before != stamps(folder, found):
        raise CorruptCheckpointError(
            f"{found.files[0]}: changed while it was read; import it again when it is written."
        )


def _content(folder: Path, found: Found, *, copy: bool) -> Contents:
    path = folder / found.files[0]
    if found.is_folder:
        names = tuple(basename(file) for file in found.files)
        return hugging_face.read_folder(path.parent, names, copy=copy)
    kind = safe_load.kind_of(path)
    if kind == "safetensors":
        tensors, metadata = safe_load.load_safetensors(path, copy=copy)
        if not tensors:
            raise FormatError(f"{path}: holds no tensors.")
        return _of_safetensors(Contents("safetensors", plain_weights(tensors)), metadata)
    if kind == "torch":
        return recognise(safe_load.load_torch(path, copy=copy), str(path))
    raise FormatError(
        f"{path}: is no checkpoint: it begins neither as files of torch.save nor of safetensors."
    )


def _of_safetensors(contents: Contents, metadata: Mapping[str, str]) -> Contents:
    """Take from a header what people put there, and what tracker's own export puts there."""
    own = {k.removeprefix(_OF_TRACKER): v for k, v in metadata.items() if k.startswith(_OF_TRACKER)}
    others = {k: v for k, v in metadata.items() if k != "format" and not k.startswith(_OF_TRACKER)}
    numbers = {key: _parsed(text) for key, text in {**others, **own}.items()}
    metrics = {k: number(float(v)) for k, v in _object(own.get("metrics")).items() if _is_number(v)}
    epoch, step = (
        count(numbers.get("epoch")),
        count(numbers.get("step", numbers.get("global_step"))),
    )
    params = {key: text for key, text in others.items() if key not in _COUNTS}
    return replace(
        contents,
        epoch=epoch,
        step=step,
        metrics={key: value for key, value in metrics.items() if value is not None},
        params=as_params({**params, **_object(own.get("params"))}),
        architecture=own.get("model", ""),
    )


def _object(text: str | None) -> dict[str, Any]:
    value = _parsed(text or "{}")
    return value if isinstance(value, dict) else {}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True


def _with_sidecar(contents: Contents, metrics: Mapping[str, Any]) -> Contents:
    numbers = {key: number(value) for key, value in metrics.items() if key not in _COUNTS}
    return replace(
        contents,
        epoch=_either(contents.epoch, count(metrics.get("epoch"))),
        step=_either(contents.step, count(metrics.get("global_step"))),
        metrics={k: v for k, v in numbers.items() if v is not None} | dict(contents.metrics),
    )


def completed(contents: Contents, found: Found, points: Points) -> Contents:
    """Return a checkpoint's contents with what only its run's history or its name say.

    Args:
        contents: What it holds.
        found: The checkpoint.
        points: The values of its run's metrics by name and step; empty if it has no run.
    """
    named = _named(found)
    contents = replace(contents, epoch=_either(contents.epoch, _epoch_at(contents.step, points)))
    if not named.is_guess or (contents.epoch is None and contents.step is None):
        contents = replace(
            contents,
            epoch=_either(contents.epoch, named.epoch),
            step=_either(contents.step, named.step),
        )
    of_run = _metrics_at(contents, points)
    return replace(contents, metrics={**named.metrics, **of_run, **contents.metrics})


def _named(found: Found) -> Named:
    """Return what the name of its file says, and where that says nothing, of its own folder."""
    said = read_name(basename(found.name))
    if said.epoch is None and said.step is None:
        outer = read_name(basename(dirname(found.name)))
        return replace(outer, metrics=said.metrics or outer.metrics)
    return said


def _epoch_at(step: int | None, points: Points) -> int | None:
    """Return the epoch that Lightning's loggers log as a metric at every step."""
    return None if step is None else count(points.get("epoch", {}).get(step))


def _metrics_at(contents: Contents, points: Points) -> dict[str, float]:
    """Return the run's values at a checkpoint."""
    found: dict[str, float] = {}
    for name, history in points.items():
        at = next((at for at in _places(contents, points) if at in history), None)
        if at is not None and name != "epoch":
            found[name] = history[at]
    return found


def _places(contents: Contents, points: Points) -> list[int]:
    """Return where a history has a checkpoint's values, as it counts steps or epochs."""
    epochs = points.get("epoch", {}).items()
    last = max((at for at, value in epochs if value == contents.epoch), default=None)
    return [at for at in (contents.step, last, contents.epoch) if at is not None]


def metric_step(contents: Contents, points: Points) -> int | None:
    """Return the step at which its run has logged a checkpoint's metrics; None if it has not."""
    own = [points[name] for name in contents.metrics if name in points]
    places = _places(contents, points)
    return next((at for at in places for history in own if at in history), None)


def _either(first: int | None, second: int | None) -> int | None:
    return second if first is None else first
