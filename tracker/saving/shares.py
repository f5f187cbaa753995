"""What one process adds to a checkpoint of a model that is spread over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracker.distributed.agreement import Offer, offer
from tracker.distributed.division import Division, divide
from tracker.errors import UnstorableError
from tracker.saving.snapshot import Snapshot, own_name
from tracker.training.world import rank
from tracker.types import Json


@dataclass(frozen=True, slots=True)
class Shared:
    """A snapshot, reduced to what this process writes.

    Attributes:
        snapshot: Its tensors are those that this process has to copy.
        offered: What it holds of tensors that are spread.
        ties: Further names of these, see `Division`.
    """

    snapshot: Snapshot
    offered: Offer
    ties: Mapping[str, Mapping[str, str]]


def alone(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot of a process that writes without others.

    Tensors that are spread, over this one process, are as plain ones.

    Raises:
        UnstorableError: A tensor of the training state is spread over several, and the model is
            not.
    """
    division = divide(snapshot.groups, writes_whole=True)
    for group, shards in division.shards.items():
        raise UnstorableError(
            shards[0].name,
            f"(in the group {group}) is spread over several processes, and the model is not, so "
            "rank 0 writes alone. Spread the model, too, or gather the tensor: .full_tensor().",
        )
    return _with(snapshot, division)


def share(snapshot: Snapshot, checkpoint: str, *, leads: bool) -> Shared:
    """Return what this process has to copy, and what it offers to the others.

    Args:
        snapshot: Of the live objects.
        checkpoint: The checkpoint's name.
        leads: Whether it is rank 0, which writes what belongs to all.

    Raises:
        UnstorableError: A tensor is in no state to be stored.
    """
    division = divide(snapshot.groups, writes_whole=leads)
    reduced = _with(snapshot, division) if leads else _own(snapshot, division)
    boxes = tuple((group, each) for group, held in division.shards.items() for each in held)
    return Shared(replace(reduced, boxes=boxes), offer(checkpoint, division.shards), division.ties)


def _with(snapshot: Snapshot, division: Division) -> Snapshot:
    description = replace(
        snapshot.description,
        state=division.whole["model"],
        extra=division.whole["architecture"],
    )
    return replace(snapshot, description=description, training_tensors=division.whole["training"])


def _own(snapshot: Snapshot, division: Division) -> Snapshot:
    """Return a snapshot of what no other process has: rank 0 writes all else."""
    prefix = own_name(rank())
    own = {n: t for n, t in division.whole["training"].items() if n.startswith(prefix)}
    description = replace(snapshot.description, state={}, extra={})
    return replace(
        snapshot,
        description=description,
        training=_own_training(snapshot.training, snapshot.own_entries),
        training_tensors=own,
        example=None,
        files={},
    )


def _own_training(training: Any, entries: frozenset[str]) -> Json:
    """Return what a process has of its own in a training state."""
    if training is None:
        return None
    own: dict[str, Json] = {}
    state = {n: entry for n, entry in training.get("state", {}).items() if n in entries}
    if state:
        own["state"] = state
    if "random" in training:
        own["random"] = training["random"]["ranks"][str(rank())]
    return own
