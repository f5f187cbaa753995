"""Which tensors the checkpoints of a run hold already, so that the next one need not.

Known is what the newest checkpoint of each model class consists of: what it refers to is known, so
a frozen backbone stays known however many epochs ago it was written, and the memory for this does
not grow with the run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from tracker.catalog.queries import latest
from tracker.catalog.scope import Scope
from tracker.errors import TrackerError
from tracker.format import KnownTensors, Written, known_tensors, limited, open_checkpoint
from tracker.record import artifacts, neighbours
from tracker.types import CheckpointRecord, FileElsewhere

if TYPE_CHECKING:
    from tracker.catalog import Engine

_MOST_RUNS = 16
"""Runs to remember; what is forgotten is only stored once more."""

_log = logging.getLogger("tracker.saving")
_lock = threading.Lock()
_runs: OrderedDict[str, dict[str, KnownTensors]] = OrderedDict()
"""By run and model class."""


def known(run_id: str, artifact_uri: str, engine: Engine) -> KnownTensors:
    """Return where tensors are that earlier checkpoints of a run hold.

    Args:
        run_id: The run.
        artifact_uri: Where the files of the new checkpoint will be.
        engine: The catalog, which is asked about a run that another process has begun.
    """
    with _lock:
        if run_id not in _runs:
            _remember(run_id, _of_another_process(run_id, engine))
        found = {key: place for each in _runs[run_id].values() for key, place in each.items()}
    return limited(_that_are_there(found, artifact_uri))


def learn(record: CheckpointRecord, written: Written) -> None:
    """Remember what a checkpoint that is READY consists of."""
    known = known_tensors(written.manifest, record.id, written.samples)
    with _lock:
        _remember(record.run_id, {**_runs.get(record.run_id, {}), record.model_class: known})


def forget(run_id: str) -> None:
    """Know nothing more of a run: a checkpoint of it is gone."""
    with _lock:
        _remember(run_id, {})


def _remember(run_id: str, known: dict[str, KnownTensors]) -> None:
    _runs[run_id] = known
    _runs.move_to_end(run_id)
    while len(_runs) > _MOST_RUNS:
        _runs.popitem(last=False)


def _of_another_process(run_id: str, engine: Engine) -> dict[str, KnownTensors]:
    try:
        newest = latest(engine, Scope(run_id=run_id))
        directory = None if newest is None else artifacts.local_directory(newest.artifact_uri)
        if newest is None or directory is None:
            return {}
        manifest = open_checkpoint(directory, manifest_digest=newest.manifest_digest).manifest
    except TrackerError as error:
        _log.info("What run %s has stored is not known, so all is stored: %s", run_id, error)
        return {}
    return {newest.model_class: known_tensors(manifest, newest.id)}


def _that_are_there(found: KnownTensors, artifact_uri: str) -> KnownTensors:
    """Leave out what somebody has removed from a local store to make room."""
    there: dict[FileElsewhere, bool] = {}
    for place in found.values():
        if place.file not in there:
            there[place.file] = _is_there(place.file, artifact_uri)
    return {key: place for key, place in found.items() if there[place.file]}


def _is_there(file: FileElsewhere, artifact_uri: str) -> bool:
    uri = neighbours.beside(artifact_uri, file.checkpoint)
    directory = None if uri is None else artifacts.local_directory(uri)
    if directory is None:
        return uri is not None  # a remote store, which it would cost a request to ask
    try:
        return (directory / file.file).stat().st_size == file.entry.size
    except OSError:
        return False


def _after_fork() -> None:
    """A thread that stayed in the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
