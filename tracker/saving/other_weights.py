"""Weights that are stored in the place of the model's own: averaged ones, for example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from tracker.saving.snapshot import Snapshot


def with_weights(snapshot: Snapshot, weights: Mapping[str, Tensor]) -> Snapshot:
    """Return a snapshot with other values for tensors of the state_dict.

    Tensors that are one in the model stay one.

    Args:
        snapshot: Of the live objects; it is not changed.
        weights: By key, in the shape and dtype that the model's own have; keys that the model
            does not have are of no effect.
    """
    if not weights:
        return snapshot
    state = snapshot.description.state
    others = {id(state[key]): tensor for key, tensor in weights.items() if key in state}
    replaced = {key: others.get(id(tensor), tensor) for key, tensor in state.items()}
    return replace(snapshot, description=replace(snapshot.description, state=replaced))
