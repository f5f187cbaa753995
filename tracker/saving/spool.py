"""The spool: checkpoints kept on the local disk until MLflow has them.

Each waits in a directory of its own, ``<spool>/<id>/``: the complete checkpoint in ``checkpoint/``
and, written last, ``delivery.json``, which says where it is to go. A directory without that file is
half-written or already delivered, and nobody's any more. The spool outlives its processes, and
several may deliver from it: who does holds the lock of that one checkpoint, ``<id>.lock``, which
its death releases. What is in ``<spool>/shards/`` is nothing to deliver, see `kept`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout

from tracker import settings
from tracker.errors import (
    FormatError,
    InvalidArgumentError,
    NewerFormatError,
    StorageError,
    TrackerError,
)
from tracker.format.fields import Field
from tracker.format.files import make_directory, replacing, sync_directory
from tracker.record.sessions import Session
from tracker.retention import Retention
from tracker.types import Mode

CHECKPOINT = "checkpoint"
DELIVERY = "delivery.json"
_SHARDS = "shards"
_LOCK = ".lock"
_RUNS_LOCK = "runs.lock"
_VERSION = 1
_SECONDS_UNTIL_SWEPT = 24 * 60 * 60

_log = logging.getLogger("tracker.saving")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A checkpoint in the spool: where it waits, where it is to go, and what was tried.

    Attributes:
        directory: Where it waits.
        name: The checkpoint's name, for messages.
        tracking_uri: The tracking store that it goes to; without a password, which must not be
            written down.
        run_id: The run that it belongs to, or None if its run is yet to be made.
        session: What that run will be made of, if ``run_id`` is None.
        created_at: When it was logged, in milliseconds since 1970-01-01 UTC.
        attempts: How often it was tried to deliver it.
        error: How the last attempt ended.
        refused: Whether MLflow answered and refused, so that only somebody who looks into it
            should try again.
        retention: Which checkpoints stay when MLflow has this one; None: all.
    """

    directory: Path
    name: str
    tracking_uri: str
    run_id: str | None
    session: Session | None
    created_at: int
    attempts: int = 0
    error: str | None = None
    refused: bool = False
    retention: Retention | None = None

    @property
    def id(self) -> str:
        """What tells it from all others, for ever: the tag ``tracker.delivery`` in MLflow."""
        return self.directory.name

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's directory."""
        return self.directory / CHECKPOINT

    @property
    def size(self) -> int:
        """Bytes of the checkpoint's files, as far as they are there."""
        try:
            return sum(p.stat().st_size for p in self.checkpoint.rglob("*") if p.is_file())
        except OSError:  # others have just delivered it
            return 0

    @property
    def lean(self) -> Path:
        """Where a copy of it goes that lacks what its run has already, while it is sent."""
        return self.directory / "lean"


def new_directory() -> Path:
    """Make the directory of a checkpoint that is to be written into the spool.

    Raises:
        StorageError: The disk refused.
    """
    spool = settings.spool_directory()
    directory = spool / uuid.uuid4().hex
    for made in make_directory(directory):
        # Weights and source are nobody else's business.
        made.chmod(0o700)
    sync_directory(spool)
    return directory


def shards_directory() -> Path:
    """Return where processes keep what they held of checkpoints that failed; see `kept`."""
    return settings.spool_directory() / _SHARDS


def write(delivery: Delivery) -> None:
    """Write what is known about a delivery; the first time this makes it one.

    Raises:
        StorageError: The disk refused; what was there before is still there.
    """
    known = {
        "version": _VERSION,
        **{k: v for k, v in asdict(delivery).items() if k != "directory"},
    }
    data = json.dumps(known, indent=1, ensure_ascii=False).encode()
    with replacing(delivery.directory / DELIVERY, len(data)) as file:
        file.write(data)
    sync_directory(delivery.directory)


def read(directory: Path) -> Delivery | None:
    """Return the delivery that waits in a directory, or None if none does (any more).

    Raises:
        FormatError: Its ``delivery.json`` can't be read.
        NewerFormatError: A newer tracker wrote it.
        StorageError: The disk refused.
    """
    path = directory / DELIVERY
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}.") from error
    try:
        root = Field(json.loads(data), str(path))
    except ValueError as error:
        raise FormatError(f"{path}: is not JSON: {error}.") from error
    version = root.at("version").integer()
    if version > _VERSION:
        raise NewerFormatError(
            f"{path}: is of version {version}, and this tracker knows {_VERSION}; install a newer "
            "one to deliver it."
        )
    return Delivery(
        directory=directory,
        name=root.at("name").text(),
        tracking_uri=root.at("tracking_uri").text(),
        run_id=root.at("run_id").optional(Field.text),
        session=root.at("session").optional(_session),
        created_at=root.at("created_at").integer(),
        attempts=root.at("attempts").integer(),
        error=root.at("error").optional(Field.text),
        refused=root.at("refused").flag(),
        retention=root.get("retention").optional(_retention),
    )


def _retention(field: Field) -> Retention:
    numbers = {
        name: field.get(name).optional(Field.integer)
        for name in ("keep_last", "keep_best", "keep_every")
    }
    monitor, mode = (field.get(name).optional(Field.text) for name in ("monitor", "mode"))
    try:
        return Retention(**numbers, monitor=monitor, mode=cast(Mode, mode))
    except InvalidArgumentError as error:
        raise FormatError(f"{field.where}: its retention can't be used: {error}") from error


def _session(field: Field) -> Session:
    return Session(
        id=field.at("id").text(),
        experiment_id=field.at("experiment_id").optional(Field.text),
        experiment=field.at("experiment").optional(Field.text),
        started_at=field.at("started_at").integer(),
        tags=field.at("tags").texts(),
    )


def _log_unreadable(error: TrackerError) -> None:
    _log.warning("A checkpoint in the spool can't be sent: %s", error)


def waiting(unreadable: Callable[[TrackerError], None] = _log_unreadable) -> list[Delivery]:
    """Return everything that waits, the oldest first.

    Args:
        unreadable: Called with why something that waits can't be read; it stays.

    Raises:
        StorageError: The spool can't be read.
    """
    found: list[Delivery] = []
    for directory in _directories():
        try:
            delivery = read(directory)
        except (FormatError, StorageError) as error:
            unreadable(error)
            continue
        if delivery is not None:
            found.append(delivery)
    return sorted(found, key=lambda delivery: (delivery.created_at, delivery.id))


def _directories() -> list[Path]:
    spool = settings.spool_directory()
    try:
        return [path for path in spool.iterdir() if path.is_dir() and path.name != _SHARDS]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"The spool {spool} can't be read: {error.strerror}.") from error


def still_waits(delivery: Delivery) -> bool:
    """Return whether a checkpoint has not been delivered, as far as the disk tells."""
    return os.path.exists(delivery.directory / DELIVERY)


@contextmanager
def locked(delivery: Delivery, *, wait: bool = False) -> Iterator[bool]:
    """Keep all others from delivering a checkpoint meanwhile; then `read` tells if it still waits.

    Args:
        delivery: What to deliver.
        wait: Wait until others are done with it.

    Yields:
        Whether it is ours; False if others deliver it at this moment.

    Raises:
        StorageError: The disk refused.
    """
    path = delivery.directory.with_suffix(_LOCK)
    lock = FileLock(path, blocking=wait, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise StorageError(f"{path}: can't be locked: {error.strerror}.") from error
    try:
        yield True
    finally:
        if not delivery.directory.exists():
            # Who waits for the file that is no more makes another, and finds nothing to deliver.
            path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def making_runs() -> Iterator[None]:
    """Keep all others from making the run of a session meanwhile."""
    with FileLock(settings.spool_directory() / _RUNS_LOCK, thread_local=False):
        yield


def forget(delivery: Delivery) -> None:
    """Remove a checkpoint that MLflow has.

    Raises:
        StorageError: The disk refused.
    """
    try:
        # First what makes it a delivery, so that a death in the middle leaves none.
        (delivery.directory / DELIVERY).unlink(missing_ok=True)
        sync_directory(delivery.directory)
        shutil.rmtree(delivery.directory)
    except OSError as error:
        raise StorageError(f"{delivery.directory}: can't be removed: {error.strerror}.") from error


def abandon(directory: Path) -> None:
    """Remove a directory whose checkpoint could not be written, as far as the disk lets us."""
    shutil.rmtree(directory, ignore_errors=True)


def sweep() -> None:
    """Remove what processes that died have left half-written or half-removed, after a day."""
    for directory in _directories():
        try:
            age = time.time() - max(p.stat().st_mtime for p in (directory, *directory.rglob("*")))
        except OSError:  # it is being removed at this moment
            continue
        if age > _SECONDS_UNTIL_SWEPT and not os.path.exists(directory / DELIVERY):
            abandon(directory)
    for lock in settings.spool_directory().glob(f"*{_LOCK}"):
        if lock.name != _RUNS_LOCK and not lock.with_suffix("").exists():
            lock.unlink(missing_ok=True)
