"""The cache of checkpoints from remote stores: what is there under its name is whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker import settings
from tracker.errors import StorageError


def folder() -> Path:
    """Return the folder that has a directory for each checkpoint."""
    return settings.cache_directory() / "checkpoints"


def directories(checkpoint_id: str) -> list[Path]:
    """Return where files of a checkpoint may be: those that others needed, or all of them."""
    return [folder() / checkpoint_id, *folder().glob(f"{checkpoint_id}-*")]


@contextmanager
def arriving(checkpoint_id: str) -> Iterator[Path]:
    """Make a directory for what is being downloaded; what was not moved away by then is removed.

    Raises:
        StorageError: The cache can't be written.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{checkpoint_id}-", dir=folder()))
    except OSError as error:
        raise StorageError(f"The cache {folder()} can't be written: {error.strerror}.") from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
