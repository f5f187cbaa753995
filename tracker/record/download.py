"""Brings files of remote stores into the cache: a few at a time, each once, each whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import CorruptCheckpointError, FormatError, NotFoundError
from tracker.record import cache, mlflow_bar, neighbours
from tracker.record.parallel import Running
from tracker.record.parts import WORTH_PARTS, download_parts
from tracker.record.retrying import tried_again


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to come into the cache.

    Attributes:
        checkpoint: The id of the checkpoint that holds it.
        file: Its name in that.
        places: Returns the URIs where the files of that checkpoint may be, the likeliest first.
        size: Its bytes, if they are known.
        accept: Called with the directory in which it has arrived; raises if it is not what it
            should be.
        accept_resumed: The same, of a file of which parts were there from an earlier time.
    """

    checkpoint: str
    file: str
    places: Callable[[], Iterable[str]]
    size: int | None = None
    accept: Callable[[Path], object] = lambda directory: None
    accept_resumed: Callable[[Path], object] = lambda directory: None

    @property
    def path(self) -> Path:
        """Where it will be."""
        return cache.place(self.checkpoint, self.file)


class Downloads:
    """Files on their way into the cache. Those that arrived whole stay if others don't.

    Args:
        wanted: The files.
        held: Holds each once it is there.
    """

    def __init__(self, wanted: Sequence[Wanted], held: cache.Held) -> None:
        self.size = sum(each.size or 0 for each in wanted)
        self._there = 0
        self._arriving: set[Path] = set()
        self._changing = threading.Lock()
        self._running = Running(lambda each: self._bring(each, held), wanted, "tracker download")

    def wait(self, seconds: float) -> bool:
        """Wait until all files are there, at most that long; return whether nothing is left."""
        return self._running.wait(seconds)

    def finish(self) -> None:
        """Wait until all files are there.

        Raises:
            NotFoundError: A file is in none of its places.
            CorruptCheckpointError: What arrived is not what it should be.
            RecordError: The store refused.
            RecordUnreachableError: The store could not be reached.
            StorageError: The cache can't be written.
        """
        self._running.finish()

    def arrived(self) -> int:
        """Return how many bytes have arrived so far."""
        with self._changing:
            return self._there + sum(map(_bytes_below, self._arriving))

    def _bring(self, wanted: Wanted, held: cache.Held) -> None:
        bring(wanted, held, self._watched)
        with self._changing:
            self._there += wanted.size or 0

    @contextlib.contextmanager
    def _watched(self, directory: Path) -> Iterator[None]:
        with self._changing:
            self._arriving.add(directory)
        try:
            yield
        finally:
            with self._changing:
                self._arriving.discard(directory)


def _bytes_below(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(OSError):
            state = path.stat()
            # MLflow may give a file its size first and fill it then.
            blocks = getattr(state, "st_blocks", None)
            total += state.st_size if blocks is None else min(state.st_size, 512 * blocks)
    return total


def bring(
    wanted: Wanted,
    held: cache.Held,
    watched: Callable[[Path], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> None:
    """Bring one file into the cache, unless another process has done so meanwhile.

    Args:
        wanted: The file.
        held: Holds it from then on.
        watched: Called with the directory in which it arrives.

    Raises:
        NotFoundError: It is in none of its places.
        CorruptCheckpointError: See `Downloads.finish`, as for all others.
    """
    with cache.bringing(wanted.path):
        if held.add(wanted.path, wanted.size):
            return
        large = (wanted.size or 0) >= WORTH_PARTS
        arriving = cache.resumable(wanted.path) if large else cache.arriving()
        with arriving as directory, watched(directory):
            held.enter(download(wanted, directory), wanted.path)


def download(wanted: Wanted, directory: Path) -> Path:
    """Download one file into a directory, under its own name, and return its path.

    Raises:
        NotFoundError: It is in none of its places.
        CorruptCheckpointError: See `Downloads.finish`, as for all others.
    """
    for uri in wanted.places():
        with contextlib.suppress(NotFoundError):
            return _downloaded(uri, wanted, directory)
    raise NotFoundError(
        f"the file {wanted.file} of checkpoint {wanted.checkpoint} is gone: it was deleted or moved"
    )


@tried_again
def _downloaded(uri: str, wanted: Wanted, directory: Path) -> Path:
    path = cache.within(directory, wanted.checkpoint, wanted.file)
    resumed = _in_parts(uri, wanted, path)
    if resumed is None:
        with mlflow_bar.hidden():
            neighbours.download_file(uri, wanted.file, directory).replace(path)
    size = path.stat().st_size
    if wanted.size not in (None, size):
        raise CorruptCheckpointError(
            f"{uri}/{wanted.file}: {size} bytes arrived, but {wanted.size} were written."
        )
    wanted.accept(directory)
    if resumed:
        try:
            wanted.accept_resumed(directory)
        except FormatError:
            path.unlink()  # so that it comes from its beginning
            return _downloaded(uri, wanted, directory)
    return path


def _in_parts(uri: str, wanted: Wanted, path: Path) -> bool | None:
    """Download a large file in parts, if that can be; see `parts.download_parts`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if wanted.size is None or wanted.size < WORTH_PARTS:
            return None
        return download_parts(uri, wanted.file, path, wanted.size)
    except OSError as error:
        raise cache.refused(path, error) from error
