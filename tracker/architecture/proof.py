"""Proves that a description leads back to the model it was made of.

Both descriptions are tried: the constructor call, then the module tree as it stands. Each is
rebuilt without memory (on the meta device) and compared with the live model: classes, names,
shapes, sharing, attributes, hooks. The first that proves equal is recorded as the way to rebuild.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from blake3 import blake3
from torch import Tensor, nn

from tracker.architecture.compare import comparable, first_difference
from tracker.architecture.constructor import construct, proven_device
from tracker.architecture.description import hides_tensor, modules_of, objects_of
from tracker.architecture.donors import add_calls
from tracker.architecture.imports import Imports
from tracker.architecture.instantiate import complete
from tracker.architecture.rebuild import build
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import Tree, describe_tree
from tracker.architecture.trust import Trust
from tracker.errors import TrackerError
from tracker.types import Json, Problem, Rebuild


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof came to: it depends on the description only, so it is kept.

    Attributes:
        rebuild: The way to rebuild.
        how: What the constructor calls, the model's own or those in the tree, have to be told.
        problems: What stood in the way of the other ways.
    """

    rebuild: Rebuild
    how: Mapping[str, Json]
    problems: tuple[Problem, ...]


_MAX_VERDICTS = 256
_verdicts: dict[str, Verdict] = {}
_QUIET: tuple[Mapping[str, Json], ...] = ({"device": "meta"}, {"device": "cpu"})


def prove(constructor: Json, problems: list[Problem], structure: Json, tree: Tree) -> Verdict:
    """Return the way to rebuild a model, from a proof now or an earlier one of equal descriptions.

    Args:
        constructor: The calls that construct it, as they will be read back; None if there are none.
        problems: What stood in the way of describing them.
        structure: The tree as it will be read back.
        tree: The live tree.
    """
    key = blake3(json.dumps([constructor, comparable(structure)]).encode()).hexdigest()
    verdict = _verdicts.get(key)
    if verdict is None:
        verdict = _prove(constructor, problems, structure, tree)
        if len(_verdicts) >= _MAX_VERDICTS:
            _verdicts.clear()
        _verdicts[key] = verdict
    return verdict


def canonical(data: Json) -> Json:
    """Return the JSON as it will be read back, so that the proof is about what is stored."""
    read: Json = json.loads(json.dumps(data, sort_keys=True))
    return read


def _prove(
    constructor: Json, constructor_problems: list[Problem], structure: Json, tree: Tree
) -> Verdict:
    """Try the ways in the order in which they are preferred."""
    named = _modules_named([constructor, structure])
    packages = frozenset(name.split(".")[0] for name in named)
    imports = Imports(trust=replace(Trust().extended(named), named=packages))
    attempt = _Attempts(structure, tree, imports)
    hidden = [] if constructor is None else _hidden_tensor(structure)
    problems = [*constructor_problems, *hidden]
    for how in () if constructor is None or hidden else _QUIET:
        if attempt.constructor(constructor, how):
            return Verdict("constructor", how, tuple(tree.problems))
        if attempt.other_model:
            break
    if not tree.problems or add_calls(tree):
        whole = canonical(tree.structure)
        for how in _QUIET if tree.problems else ({},):
            if attempt.structure(told(whole, how)):
                return Verdict("structure", how, tuple(problems + attempt.failures))
    for how in _QUIET if attempt.refused else ():
        if attempt.constructor(constructor, {**how, "aloud": True}):
            return Verdict("constructor", {**how, "aloud": True}, tuple(attempt.failures))
    return Verdict("none", {}, (*tree.problems, *attempt.failures, *problems))


def told(structure: Json, how: Mapping[str, Json]) -> Json:
    """Return the structure with its constructor calls told where to run."""
    if not isinstance(structure, dict):
        return structure
    entries = [
        {**entry, "call": {**entry["call"], **how}} if "call" in entry else entry
        for entry in modules_of(structure)
    ]
    return {**structure, "modules": entries}  # type: ignore[dict-item]


class _Attempts:
    """Attempts to rebuild one model.

    Attributes:
        failures: What came of those that failed.
        refused: Whether a constructor tried what it may not.
        other_model: Whether the constructor made other modules or tensors than the model has. It
            would on every device, and on the CPU that can take gigabytes.
    """

    def __init__(self, structure: Json, tree: Tree, imports: Imports) -> None:
        self._structure = structure
        self._wanted = comparable(structure)
        self._tree = tree
        self._imports = imports
        self.failures: list[Problem] = []
        self.refused = False
        self.other_model = False

    def constructor(self, description: Json, how: Mapping[str, Json]) -> bool:
        """Return whether the constructor call gives the model again."""
        call = {**description, **how}  # type: ignore[dict-item]
        arguments = TensorPool() if how["device"] == "meta" else TensorPool(self._copy)

        def make() -> nn.Module:
            model = construct(call, self._imports, arguments.get, proven_device(call))
            self.other_model = bool(complete(model, self._structure, self._imports, TensorPool()))
            return model

        return self._succeeds("constructor", make)

    def structure(self, structure: Json) -> bool:
        """Return whether the tree as it stands gives the model again."""
        # The arguments of constructor calls that run on the CPU need values.
        on_cpu = any(e.get("call", {}).get("device") == "cpu" for e in modules_of(structure))
        pool = TensorPool(self._copy) if on_cpu else TensorPool()
        return self._succeeds("structure", lambda: build(structure, self._imports, pool))

    def _copy(self, group: str, name: str) -> Tensor:
        tensors = self._tree.state if group == "model" else self._tree.extra
        return tensors[name].detach().cpu().clone()

    def _succeeds(self, what: str, make: Callable[[], nn.Module]) -> bool:
        failure = self._failure(what, make)
        if failure is not None and failure not in self.failures:
            self.failures.append(failure)
        return failure is None

    def _failure(self, what: str, make: Callable[[], nn.Module]) -> Problem | None:
        """Return None if the rebuilt model equals the live one, else what stood in the way."""
        try:
            with torch.no_grad():
                built = comparable(describe_tree(make(), check=False).structure)
        except TrackerError as error:
            self.refused = self.refused or bool(getattr(error, "refused", ()))
            return Problem(what, str(error))
        except Exception as error:  # noqa: BLE001 - no class of the user's must keep weights from being saved
            return Problem(what, f"rebuilding failed: {type(error).__name__}: {error}")
        if built == self._wanted:
            return None
        where = first_difference(self._wanted, built)
        return Problem(what, f"rebuilding gave another model: it differs in {where}.")


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


def _hidden_tensor(structure: Json) -> list[Problem]:
    """Find tensors inside what can't be stored: a constructor would make them anew, with other
    values, and nothing could put the stored ones back."""
    if not hides_tensor(structure, objects_of(structure)):
        return []
    return [
        Problem(
            "constructor",
            "a tensor is held inside a function or object that can't be stored, so constructing "
            "could not give it its values.",
        )
    ]
