"""Tensors that did not change since an earlier checkpoint of the run are not stored again.

A reference leads to the file that holds the bytes, never to another reference: whatever a
checkpoint refers to, it refers to directly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from torch import Tensor

from tracker.format.dtypes import DTYPES
from tracker.format.manifest import Manifest
from tracker.format.memory import bytes_of
from tracker.types import FileElsewhere

SMALLEST = 8192
"""Bytes; what is smaller is stored again: to find it elsewhere would cost more than it saves. The
state of torch's random numbers (5,056 bytes) is: where nothing draws from them, it would keep the
first checkpoint's training state from being removed, however large that is."""

_SPOT = 64
"""Bytes that a sample takes from the beginning, the middle and the end of a tensor each."""

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
    """Where a tensor's bytes are.

    Attributes:
        file: A file of an earlier checkpoint.
        name: Its name in that file.
        sample: A few of its bytes, as `samples` takes them, or None if they are not known.
    """

    file: FileElsewhere
    name: str
    sample: bytes | None = None


KnownTensors: TypeAlias = Mapping[TensorKey, StoredTensor]


def known_tensors(
    manifest: Manifest, checkpoint_id: str, samples: Mapping[str, bytes] | None = None
) -> dict[TensorKey, StoredTensor]:
    """Return where the tensors of a checkpoint are, for the checkpoints that come after it.

    Args:
        manifest: The checkpoint's manifest.
        checkpoint_id: Its id, by which those refer to it.
        samples: Of its tensors, by digest, if this process has written it.

    Example:
        >>> known = known_tensors(written.manifest, "m-0f3c", written.samples)
        >>> write_checkpoint(Path("epoch-7"), content, known=known)
    """
    known: dict[TensorKey, StoredTensor] = {}
    # Of equal tensors the model's is known, so that a model needs no file of training state.
    for group in sorted(manifest.tensors, key=lambda group: group != "model"):
        for name, entry in manifest.tensors[group].items():
            key = TensorKey(entry.digest, entry.dtype, entry.shape)
            is_whole = entry.same_as is None and not entry.parts
            if is_whole and key.size >= SMALLEST and key not in known:
                place = _place(manifest, entry.file, checkpoint_id)
                sample = samples.get(entry.digest) if samples else None
                known[key] = StoredTensor(place, entry.tensor or name, sample)
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


def samples(tensors: Mapping[str, Tensor], digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return a sample of every tensor that a later checkpoint may refer to, by digest."""
    return {
        digests[name]: _sample(tensor, name)
        for name, tensor in tensors.items()
        if tensor.nbytes >= SMALLEST
    }


def _sample(tensor: Tensor, name: str) -> bytes:
    data = bytes_of(tensor, name)
    middle = len(data) // 2
    return b"".join((data[:_SPOT], data[middle : middle + _SPOT], data[-_SPOT:]))


def candidates(tensors: Mapping[str, Tensor], known: KnownTensors) -> dict[str, Tensor]:
    """Return those that may be known, going by a few bytes of each.

    Training changes most tensors everywhere, so one look tells that they are new, and they can be
    written while they are hashed.
    """
    alike: dict[tuple[str, tuple[int, ...]], set[bytes | None]] = defaultdict(set)
    for key, stored in known.items():
        alike[key.dtype, key.shape].add(stored.sample)
    return {name: t for name, t in tensors.items() if _is_among(alike.get(_kind(t)), t, name)}


def _is_among(found: set[bytes | None] | None, tensor: Tensor, name: str) -> bool:
    return found is not None and (None in found or _sample(tensor, name) in found)


def _kind(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)


def find_known(
    tensors: Mapping[str, Tensor], digests: Mapping[str, str], known: KnownTensors
) -> dict[str, StoredTensor]:
    """Return, for those of the tensors that are known, where they are."""
    keys = {name: TensorKey(digests[name], *_kind(tensor)) for name, tensor in tensors.items()}
    return {name: known[key] for name, key in keys.items() if key in known}


def file_name(file: FileElsewhere) -> str:
    """Return what a manifest calls a file of another checkpoint."""
    return f"{file.checkpoint}/{file.file}"
