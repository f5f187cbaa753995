"""Makes a model of a proven description and the stored tensors: what happens when one is loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from tracker.architecture.compare import comparable, first_difference, skeleton
from tracker.architecture.constructor import construct, proven_device
from tracker.architecture.description import OPAQUE_TAGS, holds, modules_of, objects_of
from tracker.architecture.imports import Imports
from tracker.architecture.nesting import check_model
from tracker.architecture.reader import malformed
from tracker.architecture.rebuild import build, fill, read_state_values
from tracker.architecture.slots import Fetch, TensorPool
from tracker.architecture.special_tensors import without_slot
from tracker.architecture.structure import Tree, describe_tree
from tracker.errors import (
    ArchitectureError,
    ConstructorError,
    NeedsModelInstanceError,
    TrackerError,
)
from tracker.types import Architecture, Json


def instantiate(
    architecture: Architecture, state_values: Json, imports: Imports, fetch: Fetch
) -> nn.Module:
    """Return the model with its tensors, in the training mode that it was logged in.

    Args:
        architecture: The description, with the way to rebuild that was proven.
        state_values: The state_dict's entries that are not tensors, by key.
        imports: Where classes are found, and what is trusted.
        fetch: Returns a stored tensor by group and name.

    Raises:
        NeedsModelInstanceError: No description was proven when it was logged.
        ArchitectureError: The class no longer builds the model that was logged.
        ClassNotFoundError: A class is not importable here.
        UntrustedCheckpointError: The description refers to something that is refused.
    """
    pool = TensorPool(fetch)
    if architecture.rebuild == "constructor":
        model = _constructed(architecture, imports, pool)
    elif architecture.rebuild == "structure":
        model = build(architecture.structure, imports, pool)
    else:
        raise NeedsModelInstanceError(_needs_instance(architecture))
    if state_values:
        _set_state_values(model, architecture.structure, state_values, imports, pool)
    return model


def _constructed(architecture: Architecture, imports: Imports, pool: TensorPool) -> nn.Module:
    """Construct the model, or build it as it stood where its constructor no longer runs.

    A constructor may need what is not here: a file, a device, the network. With the code that it
    was logged with, the tree as it stood is the same model.
    """
    try:
        return _from_constructor(architecture, imports, pool)
    except ConstructorError as error:
        stands = not holds(architecture.structure, objects_of(architecture.structure), OPAQUE_TAGS)
        if imports.changed or not stands:
            raise
        imports.tried.append(f"constructor: {error}")
    return build(architecture.structure, imports, pool)


def _from_constructor(architecture: Architecture, imports: Imports, pool: TensorPool) -> nn.Module:
    device = proven_device(architecture.constructor)
    # As in the proof: on the meta device the arguments are without values too.
    arguments = TensorPool() if device == "meta" else pool
    model = construct(architecture.constructor, imports, arguments.get, device)
    check_model(model)
    with malformed("structure"):
        difference = complete(model, architecture.structure, imports, pool)
    if difference:
        raise ArchitectureError(
            f"{architecture.model_text} was constructed, but is not the model that was logged: it "
            f"differs in {difference}. The code of its class has probably changed since. You can: "
            'pass trust="source" to use the source kept in the checkpoint; check out the commit it '
            "was made with; or load the weights into an instance with "
            "checkpoint.load_state_dict()."
        )
    return model


def complete(model: nn.Module, structure: Json, imports: Imports, pool: TensorPool) -> str:
    """Give a constructed model the tensors and plain attributes of its description.

    Modules, parameters, buffers and what can't be stored must be those of the description.
    Plain attributes may differ: training counts in them, libraries mark in them what they did, and
    between processes hashes, paths and versions differ. The stored ones count.

    Returns:
        Where the model differs from the description, in words; empty if it does not.
    """
    tree = _described(model)
    _name_as_stored(tree, imports)
    stored, built = comparable(structure), comparable(tree.structure)
    same = stored == built
    if not same and skeleton(stored) != skeleton(built):
        return first_difference(skeleton(stored), skeleton(built))
    fill(tree.modules, structure, imports, pool, built=None if same else tree.structure)
    return ""


def _described(model: nn.Module) -> Tree:
    try:
        return describe_tree(model, check=False)
    except TrackerError:
        raise
    except Exception as error:
        # Code of the model's own runs: its state_dict, hooks and get_extra_state.
        raise ArchitectureError(
            f"{type(model).__qualname__} was constructed, but its state can't be read: "
            f"{type(error).__name__}: {error}"
        ) from error


def _name_as_stored(tree: Tree, imports: Imports) -> None:
    """Give the caller's classes, and others of their modules, the names they were stored by.

    The caller says that this class is that one, so its name is no difference.
    """
    given = imports.given()
    homes = {cls.__module__: name.partition(":")[0] for cls, name in given.items()}
    for module, entry in zip(tree.modules, modules_of(tree.structure), strict=True):
        cls = type(module)
        if cls in given:
            entry["class"] = given[cls]
        elif cls.__module__ in homes:
            entry["class"] = f"{homes[cls.__module__]}:{cls.__qualname__}"


def _set_state_values(
    model: nn.Module, structure: Json, values: Json, imports: Imports, pool: TensorPool
) -> None:
    """Give modules the entries of the state_dict that are no tensors, as ``load_state_dict`` does.

    Extra state (``get_extra_state``), and the packed weights of quantised modules.
    """
    loose = without_slot(values, structure)
    state = read_state_values(loose, structure, imports, model, pool)
    by_module: dict[str, OrderedDict[str, Any]] = {}
    for key, value in state.items():
        path, _, name = key.rpartition(".")
        by_module.setdefault(path, OrderedDict())[name] = value
    for path, entries in by_module.items():
        shown = path or "the model"
        try:
            module: Any = model.get_submodule(path)
            # As state_dict() does it: without a version, modules take entries for very old ones.
            entries._metadata = {"": {"version": module._version}}  # type: ignore[attr-defined]
            unexpected = module.load_state_dict(entries, strict=False)[1]
        except (AttributeError, RuntimeError, TypeError, ValueError, KeyError) as error:
            raise ArchitectureError(f"Loading the state of {shown} failed: {error}") from error
        if unexpected:
            raise ArchitectureError(
                f"{shown} takes no {', '.join(unexpected)}, which was in its state_dict when it "
                "was logged. The code of its class has probably changed since."
            )


def _needs_instance(architecture: Architecture) -> str:
    reasons = "\n".join(f"  {p}" for p in architecture.problems[:10])
    return (
        f"The architecture of {architecture.model_text} could not be proven to rebuild when it was "
        "logged, so an instance is needed: build the model as the training script did and call "
        f"model.load_state_dict(checkpoint.load_state_dict()). What stood in the way:\n{reasons}"
    )
