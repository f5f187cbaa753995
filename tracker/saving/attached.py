"""Files that whoever logs a checkpoint lays beside the model: a tokenizer, names of classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tracker.errors import FormatError, InvalidArgumentError
from tracker.format.layout import ATTACHED, MAX_PLAIN_FILE, check_file_name


def check_files(files: object) -> dict[str, bytes]:
    """Return the files of ``log_checkpoint(files=…)`` by their names in the checkpoint.

    Files on the disk are read here, so that they may change afterwards.

    Args:
        files: By name, which may have folders with forward slashes: the content as bytes, or the
            path of a file that has it.

    Raises:
        InvalidArgumentError: A name or a content is not usable, or a file can't be read.

    Example:
        >>> check_files({"classes.json": b'["cat", "dog"]'})
        {'files/classes.json': b'["cat", "dog"]'}
    """
    if files is None:
        return {}
    if not isinstance(files, Mapping):
        raise InvalidArgumentError(
            f"files must be a dict by name, not {type(files).__name__}; "
            'for example files={"classes.json": Path("classes.json")}.'
        )
    checked: dict[str, bytes] = {}
    for name, content in files.items():
        place = _place(name)
        if place.casefold() in {known.casefold() for known in checked}:
            raise InvalidArgumentError(f"files has {name!r} twice, where case does not count.")
        checked[place] = _content(name, content)
    return checked


def _place(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidArgumentError(f"files has the name {name!r}; expected text.")
    try:
        return ATTACHED + check_file_name(name, "files")
    except FormatError as error:
        raise InvalidArgumentError(str(error)) from error


def _content(name: str, content: object) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        data = bytes(content)
    elif isinstance(content, os.PathLike):
        data = _read(name, Path(content))
    else:
        raise InvalidArgumentError(
            f"files[{name!r}] is of type {type(content).__name__}; expected its content as bytes, "
            "or a pathlib.Path to a file. Text becomes bytes by text.encode()."
        )
    if len(data) > MAX_PLAIN_FILE:
        raise InvalidArgumentError(_too_large(name, len(data)))
    return data


def _read(name: str, path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_PLAIN_FILE:
            raise InvalidArgumentError(_too_large(name, size))
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"files[{name!r}]: {path} can't be read: {error.strerror}."
        ) from error


def _too_large(name: str, size: int) -> str:
    return (
        f"files[{name!r}] has {size} bytes; a file beside the model may have {MAX_PLAIN_FILE}. "
        "Tensors belong into state=."
    )
