"""Makes a model, or its state_dict, of a stored checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.imports import Imports
from tracker.architecture.instantiate import instantiate
from tracker.architecture.isolated import SourceFile
from tracker.architecture.trust import parse_trust
from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.format import StoredCheckpoint


@dataclass(frozen=True, slots=True)
class Restored:
    """A model that was rebuilt, and where its classes were found."""

    model: nn.Module
    found: Mapping[str, str] = field(default_factory=dict)


def restore_model(
    stored: StoredCheckpoint,
    *,
    device: str | torch.device = "cpu",
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    verify: bool = True,
    local: bool = False,
) -> Restored:
    """Return the model of a checkpoint, in eval mode.

    Args:
        stored: The opened files.
        device: Where its tensors go.
        trust: What it may refer to beyond the fixed lists; ``"source"`` runs the archived source.
        classes: Classes by qualname or ``module:qualname``, instead of those found by import.
        verify: Compare every byte with its digest before anything is returned.
        local: Whether the files come from a store on this machine.

    Raises:
        ArchitectureError: The model can't be rebuilt here; says what to do.
        CorruptCheckpointError: The bytes are not those that were written.
        UntrustedCheckpointError: It refers to something that loading must not touch.
    """
    target = check_device(device)
    imports = Imports(
        trust=parse_trust(trust),
        classes=_check_classes(classes),
        source=_source(stored),
        local=local,
        wanted=_wanted(stored),
    )
    if verify:
        # Before anything is built: a broken file must not cost the time of building.
        stored.verify("model")
        stored.verify("architecture")

    def fetch(group: str, name: str) -> Tensor:
        return stored.tensor(group, name, verify=False).to(target)

    model = instantiate(stored.manifest.architecture, stored.manifest.state_values, imports, fetch)
    for module, file in imports.changed.items():
        warnings.warn(
            f"The code of {module!r} in {file} is not what it was when the checkpoint was logged, "
            'so the model may compute something else. Pass trust="source" to use the source kept '
            "in the checkpoint.",
            TrackerWarning,
            stacklevel=3,
        )
    return Restored(model.eval(), imports.found)


def restore_state_dict(
    stored: StoredCheckpoint, *, device: str | torch.device = "cpu", verify: bool = True
) -> dict[str, Tensor]:
    """Return the tensors of the model's state_dict, by key.

    Tied tensors are one tensor under several keys, as in the model.
    """
    target = check_device(device)
    if verify:
        stored.verify("model")
    moved: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name, tensor in stored.tensors("model", verify=False).items():
        state[name] = moved.setdefault(id(tensor), tensor.to(target))
    return state


def check_device(device: str | torch.device) -> torch.device:
    """Return the device that is meant, made sure to be there.

    Raises:
        InvalidArgumentError: There is no such device.
    """
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise InvalidArgumentError(f"device={device!r} can't be used here: {error}") from error
    return target


def _check_classes(classes: Any) -> Mapping[str, Any]:
    if classes is None:
        return {}
    if not isinstance(classes, Mapping) or not all(
        isinstance(name, str) and isinstance(cls, type) for name, cls in classes.items()
    ):
        raise InvalidArgumentError(
            'classes must be a dict of classes by name, for example classes={"Net": Net}.'
        )
    return classes


def _source(stored: StoredCheckpoint) -> dict[str, SourceFile]:
    return {
        entry.module: SourceFile(
            entry.module, stored.read_file(entry.file), entry.path, entry.script, entry.package
        )
        for entry in stored.manifest.source
    }


def _wanted(stored: StoredCheckpoint) -> dict[str, frozenset[str]]:
    """Return, for each module of the source, the top-level names that the description needs."""
    modules = {entry.module for entry in stored.manifest.source}
    wanted: dict[str, set[str]] = {module: set() for module in modules}
    architecture = stored.manifest.architecture
    pending: list[Any] = [architecture.structure, architecture.constructor]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            module, separator, qualname = node.partition(":")
            if separator and module in wanted:
                wanted[module].add(qualname.split(".")[0])
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return {module: frozenset(names) for module, names in wanted.items()}
