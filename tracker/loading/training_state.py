"""The training state of a checkpoint, read from its manifest part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tracker.errors import FormatError
from tracker.format import StoredCheckpoint
from tracker.training.parameter_names import Names
from tracker.training.world import rank
from tracker.types import Json
from tracker.values import decode
from tracker.values.codec import FetchTensor


@dataclass(frozen=True, slots=True)
class SavedObject:
    """The state of an object of training.

    Attributes:
        state: What its ``state_dict()`` returned.
        kind: Its class, ``module:qualname``; None if it is not known.
        parameters: Of an optimizer: the names of its parameters; None if they are not known.
        parts: Of a scheduler: the classes of those that it consists of.
        generator: Of a DataLoader: the state of its own random generator.
    """

    state: Any
    kind: str | None = None
    parameters: Names | None = None
    parts: list[str] = field(default_factory=list)
    generator: Tensor | None = None


def training_of(stored: StoredCheckpoint) -> Mapping[str, Any]:
    """Return the manifest's training state; empty if none was logged."""
    return _object(stored.manifest.training, "training")


def entries_of(training: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what was logged as ``state=``, by name.

    Of several processes each has what it logged itself, as far as there were so many.
    """
    ranks = _object(training.get("ranks"), "training.ranks")
    own = _object(ranks.get(str(rank())), "training.ranks")
    entries = {
        **_object(training.get("state"), "training.state"),
        **_object(own.get("state"), "training.ranks.state"),
    }
    return {name: _object(each, f"training.state.{name}") for name, each in entries.items()}


def values_of(stored: StoredCheckpoint, *, verify: bool = False) -> dict[str, Any]:
    """Return the plain values that were logged in ``state=``, by name.

    Args:
        stored: The opened files.
        verify: Compare the bytes of their tensors with their digests first.
    """
    return {
        name: decoded(stored, entry["value"], f"state.{name}", verify=verify)
        for name, entry in entries_of(training_of(stored)).items()
        if "value" in entry
    }


def read_object(
    stored: StoredCheckpoint,
    entry: Mapping[str, Any],
    name: str,
    fetch: FetchTensor | None = None,
) -> SavedObject:
    """Read the state of an object.

    Args:
        stored: The opened files.
        entry: The manifest's entry.
        name: What the object is called, for errors.
        fetch: Returns the tensors of its ``state_dict()``, by key and path; by default they are
            read.

    Raises:
        FormatError: The manifest's entry is malformed.
    """
    kind, parts = entry.get("class"), entry.get("parts") or []
    names, generator = entry.get("parameters"), entry.get("generator")
    if not _are_names(names) or not isinstance(parts, list) or not isinstance(kind, str | None):
        raise FormatError(f"training.{name}: expected a class, parts and names of parameters.")
    return SavedObject(
        decoded(stored, entry["state_dict"], name, fetch=fetch),
        kind,
        names,
        parts,
        None if generator is None else decoded(stored, generator, f"{name}.generator"),
    )


def random_states(stored: StoredCheckpoint) -> tuple[dict[int, Any], int] | None:
    """Return the states of the global random generators by rank, and how many ranks there were.

    Returns:
        None if the checkpoint has none.
    """
    found = training_of(stored).get("random")
    if found is None:
        return None
    entry = _object(found, "training.random")
    ranks, size = _object(entry.get("ranks"), "training.random.ranks"), entry.get("world_size")
    if not isinstance(size, int) or not all(each.isdecimal() for each in ranks):
        raise FormatError("training.random: expected states by rank and their number.")
    return {int(n): decoded(stored, each, "random") for n, each in ranks.items()}, size


def decoded(
    stored: StoredCheckpoint,
    data: Json,
    name: str,
    *,
    verify: bool = False,
    fetch: FetchTensor | None = None,
) -> Any:
    """Return a value of the training state, from its JSON."""

    def read(key: Json, path: str) -> Tensor:
        return stored.tensor("training", str(key), verify=verify)

    return decode(data, name, tensor=fetch or read)


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError(f"{what}: expected an object.")
    return value


def _are_names(names: Any) -> bool:
    return names is None or (
        isinstance(names, list)
        and all(
            isinstance(group, list) and all(isinstance(name, str | None) for name in group)
            for group in names
        )
    )
