"""Reads every byte that checkpoints consist of, and says whether it is what was written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tracker.errors import FormatError, NotFoundError, TrackerError
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.format import Manifest

Condition: TypeAlias = Literal["ok", "damaged", "missing", "unread"]


@dataclass(frozen=True, slots=True)
class Verified:
    """One checkpoint whose files were read.

    Attributes:
        source: How it was named.
        id: Its id; None if there is no such checkpoint.
        title: Its name, run and model, for people.
        condition: ``ok``; ``damaged`` if its bytes are not those that were written; ``missing`` if
            it or some of its files are gone; ``unread`` if they could not be read now.
        reason: What is wrong, in words; empty if nothing is.
        tensors: How many tensors were read, those in files of earlier checkpoints included.
        size: How many bytes were read.
    """

    source: str
    id: str | None
    title: str
    condition: Condition
    reason: str = ""
    tensors: int = 0
    size: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return asdict(self)


def verify(record: CheckpointRecord) -> Verified:
    """Read every byte of a checkpoint again and compare it with its digest.

    The files of earlier checkpoints that hold some of its tensors are read, too, as far as these
    tensors go. Of a checkpoint in a remote store it is the store that is read, and not the cache.

    Args:
        record: The checkpoint.

    Returns:
        What was found; damage is no error here.
    """
    from tracker.loading.fetch import fetch, is_local, told_if_gone

    title = f"{record.name} of run {record.run_id}, {record.model_text}"
    try:
        if is_local(record):
            stored = fetch(record)
            stored.verify()
            manifest = stored.manifest
        else:
            from tracker.loading.reread import reread

            with told_if_gone(record):
                manifest = reread(record)
    except TrackerError as error:
        return Verified(record.id, record.id, title, condition_of(error), str(error))
    tensors, size = _read(manifest)
    return Verified(record.id, record.id, title, "ok", tensors=tensors, size=size)


def condition_of(error: TrackerError) -> Condition:
    """Return what an error says about a checkpoint's files."""
    if isinstance(error, FormatError):
        return "damaged"
    return "missing" if isinstance(error, NotFoundError) else "unread"


def _read(manifest: Manifest) -> tuple[int, int]:
    """Return how many tensors, and how many bytes in all, a verification reads."""
    from tracker.format.dtypes import DTYPES

    stored = [
        entry
        for entries in manifest.tensors.values()
        for entry in entries.values()
        if entry.same_as is None
    ]
    size = sum(prod(entry.shape) * DTYPES[entry.dtype].item_size for entry in stored)
    plain = manifest.files.keys() - manifest.tensor_files
    return len(stored), size + sum(manifest.files[name].size for name in plain)
