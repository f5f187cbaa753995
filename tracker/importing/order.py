"""The order of an import: find what there is, then bring in one checkpoint after the other.

What can't be read is told with its reason, and the others go on. A run is made when the first
checkpoint of it is ready to be saved, so that nothing is left of an import that failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tracker import settings
from tracker.errors import (
    InvalidArgumentError,
    NotFoundError,
    StorageError,
    TrackerWarning,
)
from tracker.importing.destinations import Destinations
from tracker.importing.discover import Found
from tracker.importing.one import One, Wish
from tracker.importing.outcome import ImportedCheckpoint
from tracker.importing.places import LocalPlace, RunPlace, places
from tracker.record import imported_runs
from tracker.record.boundary import check_reachable, tracking_uri

_SECONDS_UNTIL_SAID = 2


def import_all(sources: Sequence[str | Path], wish: Wish) -> Iterator[ImportedCheckpoint]:
    """Import checkpoints, and yield what became of each.

    Raises:
        InvalidArgumentError: A source is no path and no run.
        NotFoundError: There is no such file, folder or run, or no checkpoint in it.
        RecordError: MLflow could not be reached.
        StorageError: The lock between imports can't be made.
    """
    if settings.offline():
        raise InvalidArgumentError(
            "TRACKER_OFFLINE is set, but MLflow has to be asked what was imported before; unset it."
        )
    uri = tracking_uri()
    check_reachable(uri)
    is_blank = wish.dry_run and not settings.database_is_there(uri)
    to = Destinations(uri, wish.experiment, wish.run_id, wish.run_name, is_blank)
    listed = [(place, place.checkpoints()) for place in places(sources, lambda: to.client)]
    for source, (_, found) in zip(sources, listed, strict=True):
        if not found:
            raise NotFoundError(
                f"{source}: no checkpoint is in it; looked for .pt, .pth, .ckpt, .safetensors, "
                ".pth.tar and folders of Hugging Face's Trainer."
            )
    if wish.run_id is not None:
        to.known(*_first(listed))  # says at once that there is no such run
    one = One(uri, to, wish, _scope_name(to, wish))
    with _alone(wish.dry_run):
        for place, found in listed:
            for each in found:
                yield one.bring(place, each)


def _first(
    listed: Sequence[tuple[LocalPlace | RunPlace, list[Found]]],
) -> tuple[LocalPlace | RunPlace, Found]:
    place, found = listed[0]
    return place, found[0]


def _scope_name(to: Destinations, wish: Wish) -> str | None:
    return None if to.is_blank else imported_runs.experiment_name(to.client, wish.experiment)


@contextmanager
def _alone(dry_run: bool) -> Iterator[None]:
    """Keep imports of this machine apart: each looks what is there, then saves."""
    if dry_run:
        yield
        return
    folder = settings.cache_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: can't be created: {error.strerror}.") from error
    lock = FileLock(folder / "import.lock")
    try:
        lock.acquire(timeout=_SECONDS_UNTIL_SAID)
    except Timeout:
        warnings.warn("Another import runs; this one begins when it ends.", TrackerWarning, 3)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
