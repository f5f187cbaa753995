"""Tensors that did not change since an earlier checkpoint of the run are not stored again.

A reference leads to the file that holds the bytes, never to another reference: whatever a
checkpoint refers to, it refers to directly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from torch import Tensor

from tracker.format.dtypes import DTYPES
from tracker.format.manifest import Manifest
from tracker.types import FileElsewhere

SMALLEST = 4096
"""Bytes; what is smaller is stored again: to find it elsewhere would cost more than it saves."""

MOST_CHECKPOINTS = 100
"""Checkpoints that one may refer to: their ids must fit a tag of MLflow's."""


class TensorKey(NamedTuple):
    """What two tensors have in common if one can stand for the other."""

    digest: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of such a tensor."""
        return prod(self.shape) * DTYPES[self.dtype].item_size


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor's bytes are: a file of an earlier checkpoint, and its name in that file."""

    file: FileElsewhere
    name: str


KnownTensors: TypeAlias = Mapping[TensorKey, StoredTensor]


def known_tensors(manifest: Manifest, checkpoint_id: str) -> dict[TensorKey, StoredTensor]:
    """Return where the tensors of a checkpoint are, for the checkpoints that come after it.

    Args:
        manifest: The checkpoint's manifest.
        checkpoint_id: Its id, by which those refer to it.

    Example:
        >>> known = known_tensors(written.manifest, "m-0f3c")
        >>> write_checkpoint(Path("epoch-7"), content, known=known)
    """
    known: dict[TensorKey, StoredTensor] = {}
    # Of equal tensors the model's is known, so that a model needs no file of training state.
    for group in sorted(manifest.tensors, key=lambda group: group != "model"):
        for name, entry in manifest.tensors[group].items():
            key = TensorKey(entry.digest, entry.dtype, entry.shape)
            if entry.same_as is None and key.size >= SMALLEST and key not in known:
                place = _place(manifest, entry.file, checkpoint_id)
                known[key] = StoredTensor(place, entry.tensor or name)
    return known


def _place(manifest: Manifest, file: str, checkpoint_id: str) -> FileElsewhere:
    own = manifest.files.get(file)
    return manifest.elsewhere[file] if own is None else FileElsewhere(checkpoint_id, file, own)


def limited(known: KnownTensors, most: int = MOST_CHECKPOINTS) -> KnownTensors:
    """Return what is known in as many checkpoints as one may refer to, those that hold most."""
    held: Counter[str] = Counter()
    for key, stored in known.items():
        held[stored.file.checkpoint] += key.size
    if len(held) <= most:
        return known
    kept = {checkpoint for checkpoint, _ in held.most_common(most)}
    return {key: stored for key, stored in known.items() if stored.file.checkpoint in kept}


def find_known(
    tensors: Mapping[str, Tensor], digests: Mapping[str, str], known: KnownTensors
) -> dict[str, StoredTensor]:
    """Return, for those of the tensors that are known, where they are."""
    keys = {
        name: TensorKey(digests[name], str(t.dtype).removeprefix("torch."), tuple(t.shape))
        for name, t in tensors.items()
    }
    return {name: known[key] for name, key in keys.items() if key in known}


def file_name(file: FileElsewhere) -> str:
    """Return what a manifest calls a file of another checkpoint."""
    return f"{file.checkpoint}/{file.file}"
