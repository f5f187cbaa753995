"""What a process keeps of a checkpoint that several were to save together, and that failed.

The checkpoint does not exist, since a part of it is gone with a process or a disk. What each of the
others holds is kept in its own spool all the same, ``<spool>/shards/<name>-rank-1-of-2-<id>/``:
safetensors files, and ``shards.json``, written last, which says where which part of which tensor
is. It is no delivery, and nothing sends or removes it.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import DistributedError, TrackerError
from tracker.format import Placed, write_shards
from tracker.format.files import make_directory, replacing, sync_directory
from tracker.saving import spool
from tracker.saving.lead_ticket import LeadTicket
from tracker.saving.leading import by_group
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot
from tracker.saving.ticket import Ticket
from tracker.saving.turn import Turn
from tracker.saving.writer import Save, Then
from tracker.types import CheckpointRecord, Json, TensorEntry

TABLE = "shards.json"
_VERSION = 1

_log = logging.getLogger("tracker.saving")


@dataclass(frozen=True, slots=True)
class Part:
    """What one process holds of a checkpoint.

    Attributes:
        turn: The checkpoint.
        request: Its epoch and step.
        copied: The copy of what the process holds.
        ties: Further names of spread tensors, by group.
    """

    turn: Turn
    request: Request
    copied: Snapshot
    ties: Mapping[str, Mapping[str, str]]


def save_or_keep(save: Save, part: Part, ticket: Ticket) -> CheckpointRecord | Then:
    """Save a checkpoint with others; if that fails, keep what this process holds of it.

    Args:
        save: Saves it.
        part: What this process holds.
        ticket: That of the checkpoint. Rank 0's lets the others know before anything is kept.

    Returns:
        What ``save`` returns.

    Raises:
        TrackerError: What saving ended with; names the folder, unless the checkpoint is whole, in
            MLflow or in the spool.
    """
    try:
        return save()
    except Exception as error:
        if isinstance(ticket, LeadTicket):
            ticket.fail_others(error)
        if part.turn.whole:
            raise
        told = _with(error, _kept(part, error))
        raise told from (error.__cause__ if told is error else error)


def _kept(part: Part, error: Exception) -> str:
    """Keep what this process holds; return in words where that is."""
    who = f"rank {part.turn.rank} of {part.turn.size}"
    try:
        directory = keep(part, f"{type(error).__name__}: {error}")
    except Exception as failed:  # noqa: BLE001 - the first error is the one to raise
        return f"Nor could the shards of {who} be kept in its spool: {failed}"
    _log.info("kept: %s in %s", part.request.name, directory)
    return (
        f"The shards that {who} holds of {part.request.name} are kept in {directory}; every rank "
        "that is alive keeps its own so, in the spool of its machine. They are safetensors files, "
        f"and {TABLE} says which part of which tensor each has. They are no checkpoint: `tracker "
        "sync` does not send them, and nothing removes them but you."
    )


def _with(error: Exception, sentence: str) -> TrackerError:
    """Return an error that says one thing more; another library's is a cause from now on."""
    told = str(error).rstrip().removesuffix(".")
    if isinstance(error, TrackerError):
        error.args = (f"{told}. {sentence}",)
        return error
    return DistributedError(f"Saving failed with {type(error).__name__}: {told}. {sentence}")


def keep(part: Part, why: str) -> Path:
    """Write what a process holds of a checkpoint into its spool; return the folder.

    Args:
        part: What it holds.
        why: How saving the checkpoint ended.

    Raises:
        StorageError: The disk refused; what was made is gone.
    """
    turn, copied = part.turn, part.copied
    name = f"{part.request.name}-rank-{turn.rank}-of-{turn.size}-{uuid.uuid4().hex[:8]}"
    directory = spool.shards_directory() / name
    for made in make_directory(directory):
        made.chmod(0o700)
    try:
        placed = write_shards(directory, turn.rank, by_group(copied), copied.groups)
        _write_table(directory, _table(part, placed, why))
        sync_directory(directory.parent)
    except BaseException:
        spool.abandon(directory)
        raise
    return directory


def _write_table(directory: Path, table: Json) -> None:
    data = json.dumps(table, indent=1, ensure_ascii=False).encode()
    with replacing(directory / TABLE, len(data)) as file:
        file.write(data)
    sync_directory(directory)


def _table(part: Part, placed: Placed, why: str) -> Json:
    turn, request, copied = part.turn, part.request, part.copied
    architecture = copied.description.architecture
    return {
        "version": _VERSION,
        "what": f"What rank {turn.rank} of {turn.size} held of a checkpoint that was not saved.",
        "why": why,
        "checkpoint": request.name,
        "epoch": request.epoch,
        "step": request.step,
        "model_class": architecture.model_class,
        "model": architecture.model_text,
        "rank": turn.rank,
        "world_size": turn.size,
        "kept_at": int(time.time() * 1000),
        "tensors": [
            {"group": group, "name": name, **place}
            for group, entries in placed.tensors.items()
            for name, entry in entries.items()
            for place in _places(name, entry)
        ],
        "same_as": {group: dict(names) for group, names in part.ties.items()},
        "training": copied.training,
    }


def _places(name: str, entry: TensorEntry) -> list[dict[str, Json]]:
    """Return where the boxes of a tensor are: in which file and under which key, of which place."""
    common: dict[str, Json] = {"dtype": entry.dtype, "global_shape": [*entry.shape]}
    if not entry.parts:
        offset: list[Json] = [0] * len(entry.shape)
        own: dict[str, Json] = {"file": entry.file, "key": name, "offset": offset}
        return [{**common, **own, "shape": [*entry.shape]}]
    return [
        {
            **common,
            "file": each.file,
            "key": each.tensor or name,
            "offset": [*each.offset],
            "shape": [*each.shape],
        }
        for each in entry.parts
    ]
