"""Describes a model when it is logged, and proves that the description leads back to it.

Both descriptions are tried: the constructor call, then the module tree as it stands. Each is
rebuilt without memory (on the meta device) and compared with the live model: classes, names,
shapes, sharing, attributes, hooks. The first that proves equal is recorded as the way to rebuild.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from blake3 import blake3
from torch import Tensor, nn

from tracker.architecture.call_text import call_text
from tracker.architecture.compare import comparable, first_difference
from tracker.architecture.constructor import Device, construct, describe_call
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import TENSOR_TAGS, build, holds
from tracker.architecture.references import public_module_name
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import Tree, describe_tree
from tracker.architecture.trust import Trust
from tracker.errors import TrackerError
from tracker.types import Architecture, Json, Problem, Rebuild


@dataclass(frozen=True, slots=True)
class Description:
    """A model as it is stored.

    Attributes:
        architecture: How it is rebuilt.
        state: Tensors of its state_dict, by key; the live ones.
        extra: Tensors outside the state_dict that rebuilding needs, by name; the live ones.
        state_values: The state_dict's entries that are not tensors, as typed JSON by key.
        modules: Names of the Python modules that its classes come from.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    extra: dict[str, Tensor]
    state_values: dict[str, Json]
    modules: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a proof came to: it depends on the description only, so it is kept."""

    rebuild: Rebuild
    device: Device
    problems: tuple[Problem, ...]


_verdicts: dict[str, _Verdict] = {}
_MAX_VERDICTS = 256


def describe(model: nn.Module) -> Description:
    """Return the description of a live model, with the way to rebuild it that was proven.

    The model is not changed, nor is any random generator. A second call for the same architecture
    only describes; the proof is kept.

    Raises:
        UnstorableError: A tensor of the state_dict can't be stored; names it.
    """
    tree = describe_tree(model)
    own = set(tree.extra)
    constructor, problems = describe_call(model, tree)
    constructor, structure = _canonical(constructor), _canonical(tree.structure)
    key = blake3(json.dumps([constructor, comparable(structure)]).encode()).hexdigest()
    verdict = _verdicts.get(key)
    if verdict is None:
        verdict = _prove(constructor, problems, structure, tree)
        if len(_verdicts) >= _MAX_VERDICTS:
            _verdicts.clear()
        _verdicts[key] = verdict
    chosen = verdict.rebuild == "constructor"
    extra = {name: t for name, t in tree.extra.items() if chosen or name in own}
    text = call_text(model)
    kind = type(model)
    architecture = Architecture(
        rebuild=verdict.rebuild,
        model_class=f"{public_module_name(kind.__module__)}:{kind.__qualname__}",
        model_text=text.call,
        params=text.params,
        constructor={**constructor, "device": verdict.device}
        if chosen and isinstance(constructor, dict)
        else None,
        structure=structure,
        problems=verdict.problems,
    )
    modules = frozenset(
        public_module_name(cls.__module__) for m in tree.modules for cls in type(m).__mro__
    )
    return Description(architecture, tree.state, extra, tree.state_values, modules)


def _canonical(data: Json) -> Json:
    """Return the JSON as it will be read back, so that the proof is about what is stored."""
    read: Json = json.loads(json.dumps(data, sort_keys=True))
    return read


def _prove(
    constructor: Json, constructor_problems: list[Problem], structure: Json, tree: Tree
) -> _Verdict:
    wanted = comparable(structure)
    imports = Imports(trust=Trust().extended(_modules_named([constructor, structure])))
    problems = list(constructor_problems)
    if constructor is not None:
        hidden = _hidden_tensor(structure)
        devices: tuple[Device, ...] = () if hidden else ("meta", "cpu")
        problems += hidden
        for device in devices:
            failure = _attempt(
                "constructor", wanted, partial(_construct, constructor, tree, device, imports)
            )
            if failure is None:
                return _Verdict("constructor", device, tuple(tree.problems))
            if failure not in problems:
                problems.append(failure)
    if tree.problems:
        return _Verdict("none", "meta", (*tree.problems, *problems))
    failure = _attempt("structure", wanted, lambda: build(structure, imports, TensorPool()))
    if failure is None:
        return _Verdict("structure", "meta", tuple(problems))
    return _Verdict("none", "meta", (failure, *problems))


def _construct(constructor: Json, tree: Tree, device: Device, imports: Imports) -> nn.Module:
    if device == "meta":
        return construct(constructor, imports, TensorPool().get, device)

    def copy(group: str, name: str) -> Tensor:
        return (tree.state if group == "model" else tree.extra)[name].detach().cpu().clone()

    return construct(constructor, imports, TensorPool(copy).get, device)


def _modules_named(data: Json) -> set[str]:
    """Return the Python modules that a description refers to.

    They are trusted in the proof, as far as packages can be: whoever loads the checkpoint is told
    which package to trust, and then it works.
    """
    found: set[str] = set()
    pending: list[Json] = [data]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, str):
            module, separator, qualname = node.partition(":")
            if separator and qualname.replace(".", "_").isidentifier():
                found.add(module)
    return found


def _attempt(what: str, wanted: Json, make: Callable[[], nn.Module]) -> Problem | None:
    """Return None if the rebuilt model equals the live one, else what stood in the way."""
    try:
        with torch.no_grad():
            built = comparable(describe_tree(make(), check=False).structure)
    except TrackerError as error:
        return Problem(what, str(error))
    except Exception as error:  # noqa: BLE001 - no class of the user's must keep weights from being saved
        return Problem(what, f"rebuilding failed: {type(error).__name__}: {error}")
    if built == wanted:
        return None
    return Problem(
        what, f"rebuilding gave another model: it differs in {first_difference(wanted, built)}."
    )


def _hidden_tensor(structure: Json) -> list[Problem]:
    """Find tensors inside what can't be stored: a constructor would make them anew, with other
    values, and nothing could put the stored ones back."""
    objects = structure.get("objects") if isinstance(structure, dict) else None
    table = objects if isinstance(objects, list) else []
    pending: list[Json] = [structure]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            if "$opaque" in node and holds(node["$opaque"], table, TENSOR_TAGS):
                return [
                    Problem(
                        "constructor",
                        "a tensor is held inside a function or object that "
                        "can't be stored, so constructing could not give it its values.",
                    )
                ]
            pending.extend(node.values())
    return []
