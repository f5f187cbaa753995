"""The names of a checkpoint's files, and which names a manifest may use."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from tracker.errors import FormatError, InvalidArgumentError

MANIFEST = "checkpoint.json"
"""The manifest's file name. Whoever copies a checkpoint copies this file last."""

REMOVED = "removed-checkpoint.json"
"""What the manifest is called while a checkpoint is deleted: no reader knows the name, and whoever
finds the rest of the directory, after a death in the middle, knows that it was to go."""

ATTACHED = "files/"
"""How the names of files begin that the user laid beside the model; loading does not need them."""

MAX_PLAIN_FILE = 1 << 28
"""Bytes of a manifest or another file that is read whole; a larger one is refused, both ways."""

_GROUP = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]")
_MAX_NAME = 1024
_MAX_PART = 255


def tensor_file(group: str) -> str:
    """Return the file of a group of tensors: ``model`` is in ``model.safetensors``.

    Raises:
        InvalidArgumentError: The group's name is not a lowercase identifier.
    """
    if not _GROUP.fullmatch(group):
        raise InvalidArgumentError(
            f"A group of tensors must have a lowercase name such as 'model', not {group!r}."
        )
    return f"{group}.safetensors"


def shard_file(group: str, rank: int) -> str:
    """Return the file of what one process of a distributed training has written of a group.

    Example:
        >>> shard_file("model", 3)
        'model-rank-00003.safetensors'
    """
    return f"{tensor_file(group).removesuffix('.safetensors')}-rank-{rank:05d}.safetensors"


def check_file_name(name: str, where: str) -> str:
    """Return ``name`` if it is a plain relative name below the checkpoint's directory.

    Args:
        name: The name as a manifest gives it, with forward slashes on every system.
        where: What gives it, for errors.

    Raises:
        FormatError: It is absolute, leaves the directory, or means different files on different
            systems (backslashes, drive letters, control characters).
    """
    parts = name.split("/")
    if (
        len(name) > _MAX_NAME
        or _FORBIDDEN.search(name)
        or not all(parts)
        or any(part in (".", "..") or not _fits(part) for part in parts)
        or name.casefold() == MANIFEST
    ):
        raise FormatError(
            f"{where}: {name[:200]!r} is not a file name of a checkpoint: names are relative, with "
            "forward slashes, and stay in the checkpoint's directory."
        )
    return name


def _fits(part: str) -> bool:
    try:
        return len(part.encode()) <= _MAX_PART
    except UnicodeEncodeError:
        return False


def inside(directory: Path, name: str, where: str) -> Path:
    """Return the path of a checkpoint's file; a symbolic link out of the directory is refused.

    Raises:
        FormatError: The name or a link on the way leads out of the directory.
    """
    check_file_name(name, where)
    return contained(directory, name, where)


def contained(directory: Path, name: str, where: str) -> Path:
    """Return the path of ``name``; a symbolic link out of the directory is refused."""
    path = directory / PurePosixPath(name)
    try:
        resolved, root = path.resolve(), directory.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"{where}: {name!r} does not lead to a file: {error}.") from error
    if not resolved.is_relative_to(root):
        raise FormatError(
            f"{where}: {name!r} is a symbolic link out of the checkpoint's directory, to "
            f"{resolved}. A checkpoint holds its own files; copy the real file there if you "
            "trust it."
        )
    return path
