"""Tensors whose bytes an earlier checkpoint of the run holds: where, and what they share there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tracker.errors import NotFoundError
from tracker.format.layout import inside
from tracker.format.manifest import Manifest

Locate: TypeAlias = Callable[[str, str], Path]
"""``locate(checkpoint, file)`` returns the directory of a checkpoint, given its id and the one file
of it that is needed."""


def path_elsewhere(directory: Path, manifest: Manifest, name: str, locate: Locate | None) -> Path:
    """Return the path of a file of an earlier checkpoint.

    Args:
        directory: The checkpoint that needs it.
        manifest: Its manifest.
        name: What the manifest calls the file.
        locate: Where earlier checkpoints are.

    Raises:
        NotFoundError: It is gone, or nobody knows where it is.
        FormatError: It is a link out of the earlier checkpoint's directory.
    """
    file = manifest.elsewhere[name]
    needed = (
        f"{directory}: tensors of {manifest.name} are in the file {file.file} of checkpoint "
        f"{file.checkpoint}, which was logged earlier in run {manifest.run_id}"
    )
    if locate is None:
        raise NotFoundError(f"{needed}; open it with locate=, to say where that is.")
    try:
        holder = locate(file.checkpoint, file.file)
    except NotFoundError as error:
        raise NotFoundError(f"{needed}; {error}.") from error
    path = inside(holder, file.file, str(holder))
    if not os.path.lexists(path):
        raise NotFoundError(f"{needed}; {path} is gone: it was deleted or moved.")
    return path


def mappings(manifest: Manifest) -> dict[tuple[str, str], int]:
    """Return by group and name which mapping of its file a tensor elsewhere comes from.

    A writer may find two equal tensors in one place. They are not one tensor, so changing one must
    not change the other: each has the memory of another mapping.
    """
    numbers: dict[tuple[str, str], int] = {}
    for group, entries in manifest.tensors.items():
        users: Counter[tuple[str, str]] = Counter()
        for name, entry in entries.items():
            if entry.same_as is None and entry.file in manifest.elsewhere:
                place = (entry.file, entry.tensor or name)
                numbers[group, name] = users[place]
                users[place] += 1
    return numbers
