"""The cache of files from remote stores: shared by all processes, never larger than it may be.

::

    <cache>/checkpoints/<checkpoint id>/<file>    whole: it got its name after its last byte
    <cache>/arriving/<random>/                    what is on its way; of a large file what has come
    <cache>/locks/<number>.lock                   held by whoever brings one of the files

A file of a checkpoint never changes, so the checkpoint's id and the file's name stand for its
content, and all checkpoints that refer to it share it. When the cache is full, the files go that
were not used for the longest time. A checkpoint that is being loaded is held by a lock on its
directory, which ends with the process; once a file is mapped, its memory stays when its name goes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracker import settings
from tracker.errors import FormatError, StorageError
from tracker.format.layout import MANIFEST, contained, inside

if TYPE_CHECKING:
    from filelock import FileLock

if sys.platform != "win32":
    import fcntl

_LARGEST_DEFAULT = 20_000_000_000
_SHARE_OF_DISK = 10
_LOCKS = 1024
_SECONDS_UNTIL_SWEPT = 86_400


def folder() -> Path:
    """Return the folder that has a directory for each checkpoint."""
    return settings.cache_directory() / "checkpoints"


def directory(checkpoint_id: str) -> Path:
    """Return where the files of a checkpoint are.

    Raises:
        FormatError: The id, which a manifest may have named, leads out of the cache.
    """
    return inside(folder(), checkpoint_id, "The id of a checkpoint")


def place(checkpoint_id: str, file: str) -> Path:
    """Return where one file of a checkpoint is, or will be.

    Raises:
        FormatError: Its name leads out of the checkpoint's directory.
    """
    return within(directory(checkpoint_id), checkpoint_id, file)


def within(parent: Path, checkpoint_id: str, file: str) -> Path:
    """Return the path of a file of a checkpoint in a directory.

    Raises:
        FormatError: Its name leads out of the directory.
    """
    # The manifest has no place in a manifest's list of files.
    return (contained if file == MANIFEST else inside)(parent, file, checkpoint_id)


def limit() -> int:
    """Return how many bytes the cache may hold.

    ``TRACKER_CACHE_SIZE``; by default 20 GB, or a tenth of the disk if that is less.
    """
    given = settings.cache_size()
    if given is not None:
        return given
    try:
        total = shutil.disk_usage(_existing(settings.cache_directory())).total
    except OSError:
        return _LARGEST_DEFAULT
    return min(_LARGEST_DEFAULT, total // _SHARE_OF_DISK)


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


class Held:
    """Checkpoints of which no process removes files from the cache as long as this object lives.

    One open directory each, however many files a checkpoint has.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._changing = threading.Lock()
        weakref.finalize(self, _close, self._descriptors)

    def add(self, path: Path, size: int | None = None) -> bool:
        """Hold the checkpoint that a file is of, which is used now; return whether it is there.

        Args:
            path: The file.
            size: The size that it must have, if it is known; another counts as not there.

        Raises:
            StorageError: The cache can't be read.
        """
        try:
            self._hold(_checkpoint(path))
            if size not in (None, path.stat().st_size):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise refused(path, error) from error
        with contextlib.suppress(OSError):  # a cache that others own is used all the same
            os.utime(path)
        return True

    def enter(self, file: Path, path: Path) -> None:
        """Give a file that arrived whole its place, and hold it.

        Raises:
            StorageError: The cache can't be written.
        """
        _make(path.parent)
        try:
            self._hold(_checkpoint(path))  # before others see it who make room
            os.replace(file, path)
        except OSError as error:
            raise refused(path, error) from error

    def _hold(self, where: Path) -> None:
        with self._changing:
            if where not in self._descriptors and sys.platform != "win32":
                self._descriptors[where] = descriptor = os.open(where, os.O_RDONLY)
                _lock(descriptor, alone=False)


def _checkpoint(path: Path) -> Path:
    """Return the directory of the checkpoint that a file in the cache is of."""
    return folder() / path.relative_to(folder()).parts[0]


def _close(descriptors: dict[Path, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _lock(descriptor: int, *, alone: bool) -> bool:
    """Lock an open directory, alone or with others; return False if others are in the way."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # else: it has no locks
    return True


@contextmanager
def bringing(path: Path) -> Iterator[None]:
    """Keep all others from bringing the same file meanwhile.

    Raises:
        StorageError: The cache can't be written.
    """
    # A file for each would stay for ever. A thread holds one at a time, so none waits in a circle.
    number = zlib.crc32(str(path.relative_to(folder())).encode()) % _LOCKS
    lock = _lock_file(str(number))
    try:
        lock.acquire()
    except OSError as error:
        raise refused(Path(lock.lock_file), error) from error
    try:
        yield
    finally:
        lock.release()


def _lock_file(name: str) -> FileLock:
    from filelock import FileLock  # not needed where all stores are local

    path = settings.cache_directory() / "locks" / f"{name}.lock"
    _make(path.parent)
    return FileLock(path, thread_local=False)


@contextmanager
def arriving() -> Iterator[Path]:
    """Make a directory for what is on its way; what is there at the end is removed.

    Raises:
        StorageError: The cache can't be written.
    """
    parent = _arriving()
    _make(parent)
    try:
        temporary = Path(tempfile.mkdtemp(dir=parent))
    except OSError as error:
        raise refused(parent, error) from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def resumable(path: Path) -> Iterator[Path]:
    """Make the directory in which one file arrives; after an error it stays, for a day.

    Who brings the file again finds there what has arrived. Only for whoever keeps all others from
    bringing it (`bringing`).

    Args:
        path: The place that the file is to have.

    Raises:
        StorageError: The cache can't be written.
    """
    name = hashlib.sha256(str(path.relative_to(folder())).encode()).hexdigest()[:32]
    temporary = _arriving() / name
    _make(temporary)
    os.utime(temporary)  # for another day
    try:
        yield temporary
    except FormatError:  # nothing of it is worth keeping
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(temporary, ignore_errors=True)


def _arriving() -> Path:
    return settings.cache_directory() / "arriving"


def remove(path: Path) -> None:
    """Remove a file whose content is not what it should be."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def make_room(needed: int) -> None:
    """Remove what was not used for the longest time until ``needed`` bytes have room.

    Files that are held stay, and a checkpoint larger than the cache may be is loaded all the same,
    so the cache may be too large for a while.
    """
    room = _lock_file("room")
    try:
        room.acquire(blocking=False)
    except OSError:  # a Timeout is one
        return  # another process does it, or nobody can
    try:
        _sweep()
        files = _files(folder())
        used = [size for _, size, _ in _files(_arriving())] + [size for _, size, _ in files]
        excess = sum(used) + needed - limit()
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            if _removed_unless_held(path):
                excess -= size
    finally:
        room.release()


def _files(parent: Path) -> list[tuple[int, int, Path]]:
    """Return when each file was used, its size and its path."""
    found = []
    for path in parent.rglob("*"):
        with contextlib.suppress(OSError):  # another process removed it meanwhile
            state = path.lstat()
            if path.is_file():
                found.append((state.st_mtime_ns, state.st_size, path))
    return found


def _removed_unless_held(path: Path) -> bool:
    if sys.platform == "win32":  # where no file can be removed that is open, and no folder opened
        return _unlinked(path)
    try:
        descriptor = os.open(_checkpoint(path), os.O_RDONLY)
    except OSError:
        return False
    try:
        return _lock(descriptor, alone=True) and _unlinked(path)
    finally:
        os.close(descriptor)


def _unlinked(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _sweep() -> None:
    """Remove what processes that died left half-arrived, after a day."""
    oldest = time.time() - _SECONDS_UNTIL_SWEPT
    for temporary in _arriving().glob("*"):
        with contextlib.suppress(OSError):
            if max(p.lstat().st_mtime for p in (temporary, *temporary.rglob("*"))) < oldest:
                shutil.rmtree(temporary, ignore_errors=True)


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(path, error) from error


def refused(path: Path, error: OSError) -> StorageError:
    """Return what to raise where the disk refused something in the cache."""
    return StorageError(
        f"The cache {settings.cache_directory()} can't be used: {path}: {error.strerror}. "
        "TRACKER_CACHE_DIR names another."
    )
