"""Opening and replacing files: where errors of the disk become ours.

A file appears under its name only when it is whole and on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tracker.errors import CorruptCheckpointError, NotFoundError, StorageError
from tracker.format.flushed import FlushedFile
from tracker.format.layout import REMOVED

PARTIAL = ".partial"
"""The suffix of files that are being written, or whose writer was killed."""

_log = logging.getLogger("tracker.format")

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system or file system allows",
    errno.EACCES: "permission is missing",
    errno.EPERM: "permission is missing",
    errno.EROFS: "the file system is read-only",
}
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


def was_removed(directory: Path) -> bool:
    """Return whether a checkpoint was deleted whose files may still be there in part."""
    return os.path.lexists(directory / REMOVED)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a checkpoint for reading.

    Raises:
        CorruptCheckpointError: It is missing, or is no regular file.
        NotFoundError: It is missing, because the checkpoint was deleted meanwhile.
        StorageError: The disk refused, also while it was read.
    """
    try:
        # A FIFO would block for ever where the open waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_BINARY"))
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CorruptCheckpointError(f"{path}: is not a regular file.")
            yield file
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if not path.parent.exists() or was_removed(path.parent) or was_removed(path.parents[1]):
            raise NotFoundError(f"{path}: is gone: the checkpoint was deleted.") from error
        raise CorruptCheckpointError(
            f"{path}: is missing, though the checkpoint needs it; copy or download it again."
        ) from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {_reason(error)}.") from error


@contextlib.contextmanager
def replacing(path: Path, size: int) -> Iterator[FlushedFile]:
    """Write a file that appears under its name when the block ends, whole and on the disk.

    Args:
        path: Its final name; a file of that name is replaced.
        size: Bytes it will have, for errors.

    Raises:
        StorageError: The disk refused; nothing is left behind.

    Example:
        >>> with replacing(Path("notes.txt"), 5) as file:
        ...     file.write(b"hello")
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    try:
        try:
            with FlushedFile(temporary, "x") as file:
                yield file
                file.sync()
            _log.debug("on the disk: %s", path)
            os.replace(temporary, path)
            _log.debug("named: %s", path)
        finally:
            # Before anybody counts what is free.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, size, error) from error


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield where others are to write a file, which gets its name when the block ends.

    Args:
        path: Its final name; a file of that name is replaced.

    Raises:
        StorageError: The disk refused; nothing is left behind.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}{path.suffix}")
    try:
        try:
            if not path.parent.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, 0, error) from error
    sync_directory(path.parent)


def make_directory(path: Path) -> Iterator[Path]:
    """Create a directory with its parents; yield each that was not there, outermost first.

    Raises:
        StorageError: The disk refused.
    """
    for missing in [p for p in (path, *path.parents) if not os.path.exists(p)][::-1]:
        try:
            missing.mkdir(exist_ok=True)
        except OSError as error:
            raise _refused(missing, 0, error) from error
        yield missing


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power failure, where the file system can.

    Raises:
        StorageError: The disk refused.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise _refused(path, 0, error) from error


def _refused(path: Path, size: int, error: OSError) -> StorageError:
    needs = f" It needs {size} bytes; {_free(path.parent)}." if size else ""
    return StorageError(f"{path}: can't be written: {_reason(error)}.{needs}")


def _reason(error: OSError) -> str:
    known = _REASONS.get(error.errno or 0)
    return f"{known} ({error.strerror})" if known else (error.strerror or str(error))


def _free(directory: Path) -> str:
    try:
        return f"{shutil.disk_usage(directory).free} are free there"
    except OSError:
        return "how many are free there is not known"


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))
