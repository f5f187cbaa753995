"""Makes a model of a stored checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.imports import Imports
from tracker.architecture.instantiate import instantiate
from tracker.architecture.quiet import quietly
from tracker.errors import ArchitectureError, TrackerWarning
from tracker.format import StoredCheckpoint
from tracker.format.dtypes import DTYPES
from tracker.loading.classes import imports_for
from tracker.loading.placement import check_device, check_dtype
from tracker.loading.versions import VersionChange, version_changes
from tracker.types import Comparison


@dataclass(frozen=True, slots=True)
class Restored:
    """A model that was rebuilt.

    Attributes:
        model: The model, in eval mode.
        example: How its output for the example compares with what was logged; None if it was not
            asked for, or there is no example.
    """

    model: nn.Module
    example: Comparison | None = None


def restore_model(
    stored: StoredCheckpoint,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    verify: bool = True,
    local: bool = False,
) -> Restored:
    """Return the model of a checkpoint, in eval mode; warn of what makes it compute otherwise.

    Args:
        stored: The opened files.
        device: Where its tensors go.
        dtype: What its floating-point tensors are converted to, once it is whole.
        trust: What it may refer to beyond the fixed lists; ``"source"`` runs the archived source.
        classes: Classes by qualname or ``module:qualname``, instead of those found by import.
        verify: Compare every byte with its digest before anything is returned, and the model's
            output for the example with that when it was logged.
        local: Whether the files come from a store on this machine.

    Raises:
        ArchitectureError: The model can't be rebuilt here; says what to do.
        CorruptCheckpointError: The bytes are not those that were written.
        UntrustedCheckpointError: It refers to something that loading must not touch.
    """
    target, wanted = check_device(device), check_dtype(dtype)
    imports = imports_for(stored, trust=trust, classes=classes, local=local)
    versions = version_changes(stored.manifest.environment)
    try:
        restored = rebuild(stored, imports, target, dtype=wanted, verify=verify)
    except ArchitectureError as error:
        if versions:
            error.add_note(f"Versions differ: {_listed(versions)}.")
        raise
    for module, file in imports.changed.items():
        _warn(
            f"The code of {module!r} in {file} is not what it was when the checkpoint was logged, "
            "so the model may compute something else: checkpoint.explain().diff, or `tracker show "
            '--diff`, has the difference. Pass trust="source" to use the source kept in the '
            "checkpoint."
        )
    if restored.example is not None and restored.example.verdict == "different":
        _warn(_different(restored.example, imports, versions))
    return restored


def rebuild(
    stored: StoredCheckpoint,
    imports: Imports,
    device: torch.device,
    *,
    dtype: torch.dtype | None = None,
    verify: bool,
    weights: bool = True,
) -> Restored:
    """Return the model of a checkpoint, in eval mode, without a warning.

    Args:
        stored: The opened files.
        imports: Where classes are found; learns what was found, changed and tried.
        device: Where its tensors go.
        dtype: See `restore_model`.
        verify: See `restore_model`.
        weights: Whether to read the weights. Otherwise they are on the meta device, and the
            example is not run.
    """
    if verify:
        # Before anything is built: a broken file must not cost the time of building.
        for group in ("model", "architecture") if weights else ("architecture",):
            stored.verify(group, again=False)

    def fetch(group: str, name: str) -> Tensor:
        if group == "model" and not weights:
            return _without_values(stored, group, name)
        return stored.tensor(group, name, verify=False).to(device)

    manifest = stored.manifest
    scripted = manifest.architecture.rebuild == "torchscript"
    tried = manifest.example is not None and verify and weights
    # Most models need neither, and imports cost more than all else but the weights.
    if scripted:
        from tracker.architecture.torchscript import SCRIPT_FILE, load_script
    if tried:
        from tracker.example.replay import replay
    # Code of the model's runs here, with whatever the checkpoint holds: it reaches nothing outside.
    with quietly():
        if scripted:
            model = load_script(stored.read_file(SCRIPT_FILE), imports.trust, device)
        else:
            model = instantiate(manifest.architecture, manifest.state_values, imports, fetch)
        model.eval()
        example = None
        if manifest.example is not None and tried:
            example = replay(model, manifest.example, partial(stored.tensor, "example"))
        # Last: what was logged is compared in the dtypes that it was logged in.
        return Restored(model if dtype is None else model.to(dtype=dtype), example)


def _without_values(stored: StoredCheckpoint, group: str, name: str) -> Tensor:
    entry = stored.manifest.tensors.get(group, {}).get(name)
    if entry is None:
        return stored.tensor(group, name)  # which says what there is
    return torch.empty(entry.shape, dtype=DTYPES[entry.dtype].torch, device="meta")


def _different(found: Comparison, imports: Imports, versions: Sequence[VersionChange]) -> str:
    causes = [
        f"the code of {module} changed (see checkpoint.explain().diff)"
        for module in imports.changed
    ]
    causes += [f"versions differ ({_listed(versions)})"] if versions else []
    cause = "; ".join(causes) or (
        "a function that it calls changed, a setting of torch or the processor is another. "
        "checkpoint.explain() says what is known"
    )
    return (
        "The model was rebuilt, but computes something else than when it was logged. Its output "
        f"for the example input differs: {found.reason}. Possible causes: {cause}."
    )


def _listed(versions: Sequence[VersionChange]) -> str:
    return ", ".join(map(str, versions))


def _warn(message: str) -> None:
    warnings.warn(message, TrackerWarning, stacklevel=4)
