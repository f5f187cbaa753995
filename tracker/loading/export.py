"""Writes a checkpoint in the format of others: its weights, or its model as a program."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from tracker.errors import ArchitectureError, InvalidArgumentError, TrackerError
from tracker.example.recording import checked_arguments
from tracker.example.running import split_arguments
from tracker.format import StoredCheckpoint, export_state_dict
from tracker.format.files import replaced, replacing, sync_directory
from tracker.loading.weights import restore_state_for
from tracker.values import decode

Format: TypeAlias = Literal["safetensors", "pt", "pt2", "onnx"]
Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

FORMATS = get_args(Format)
PROGRAMS = frozenset({"pt2", "onnx"})
"""Formats that hold the model with its computations; the others hold its weights."""

_SUFFIXES: Mapping[str, Format] = {
    ".pt": "pt",
    ".pth": "pt",
    ".bin": "pt",
    ".pt2": "pt2",
    ".onnx": "onnx",
}
_MAX_ONNX = 2_000_000_000
"""Bytes; a protobuf holds no more in one file."""


def format_of(path: Path, given: str | None) -> Format:
    """Return the format to write: the one that was given, else the one that the suffix means.

    Raises:
        InvalidArgumentError: There is no such format.

    Example:
        >>> format_of(Path("digits.onnx"), None)
        'onnx'
    """
    if given is None:
        return _SUFFIXES.get(path.suffix.lower(), "safetensors")
    if given not in FORMATS:
        raise InvalidArgumentError(f"format={given!r}: expected one of {', '.join(FORMATS)}.")
    return cast(Format, given)


def export_weights(stored: StoredCheckpoint, path: Path, chosen: Format) -> None:
    """Write the weights to one file; one that was there before is replaced when it is whole.

    Raises:
        StorageError: The disk refused.
    """
    if chosen == "safetensors":
        export_state_dict(stored, path)
        return
    state = restore_state_for(nn.Module(), stored, verify=False)
    size = sum(v.numel() * v.element_size() for v in state.values() if isinstance(v, Tensor))
    with replacing(path, size) as file:
        # torch takes what is written for all that it gave; an unbuffered file may take less.
        buffered = io.BufferedWriter(file)
        torch.save(state, buffered)
        buffered.flush()
        buffered.detach()
    sync_directory(path.parent)


def export_program(
    stored: StoredCheckpoint,
    load: Callable[[], nn.Module],
    path: Path,
    chosen: Format,
    example_input: object,
) -> None:
    """Write the model as a program that runs without its class.

    Args:
        stored: The checkpoint.
        load: Rebuilds its model; called when all else is there.
        path: The file.
        chosen: ``pt2`` or ``onnx``.
        example_input: What the model is called with, or None for the example of the checkpoint.

    Raises:
        InvalidArgumentError: There is no example, or packages are missing.
        ArchitectureError: The model can't be rebuilt, or torch can't export it.
        StorageError: The disk refused.
    """
    if chosen == "onnx":
        _check_installed("onnx", "onnxscript")
    arguments = _arguments(stored, example_input)
    model = load()
    writing = _write_onnx if chosen == "onnx" else _write_pt2
    with replaced(path) as temporary, torch.no_grad():
        try:
            writing(model, arguments, temporary)
        except (OSError, TrackerError):
            raise
        except Exception as error:
            told = " ".join(str(error).split())[:600]
            raise ArchitectureError(
                f"torch can't export {stored.manifest.architecture.model_text} to {chosen}: "
                f"{type(error).__name__}: {told}"
            ) from error


def _check_installed(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidArgumentError(
            f"To export to ONNX, torch needs {' and '.join(missing)}, which is not installed: "
            f"pip install {' '.join(missing)}"
        )


def _arguments(stored: StoredCheckpoint, example_input: object) -> Arguments:
    """Return what the model is called with."""
    if example_input is not None:
        return split_arguments(checked_arguments(example_input))
    document = stored.manifest.example
    if not isinstance(document, dict) or "input" not in document:
        raise InvalidArgumentError(
            "A program is made by running the model once, and the checkpoint has no example input: "
            "pass example_input= (--example FILE), or log it with example_input=."
        )
    fetch = partial(stored.tensor, "example")
    given = decode(document["input"], "example.input", tensor=lambda name, _: fetch(str(name)))
    return split_arguments(given)


def _write_pt2(model: nn.Module, arguments: Arguments, path: Path) -> None:
    positional, keywords = arguments
    program = torch.export.export(model, positional, keywords)
    torch.export.save(program, path)


def _write_onnx(model: nn.Module, arguments: Arguments, path: Path) -> None:
    size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    if size > _MAX_ONNX:
        raise InvalidArgumentError(
            f"The model has {size} bytes, and one ONNX file holds {_MAX_ONNX}; export it to pt2."
        )
    positional, keywords = arguments
    torch.onnx.export(
        model, positional, path, kwargs=keywords, dynamo=True, external_data=False, verbose=False
    )
