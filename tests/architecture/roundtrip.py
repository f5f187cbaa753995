"""What the tests of this room share: a description as it is stored, and the model made of it."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.compare import comparable
from tracker.architecture.constructor import construct, describe_call
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import TensorPool, build
from tracker.architecture.structure import Tree, describe_tree
from tracker.types import Json


def stored(data: Any) -> Any:
    """Return JSON as it is read back from a manifest."""
    return json.loads(json.dumps(data, sort_keys=True))


def pool_of(tree: Tree) -> TensorPool:
    def fetch(group: str, name: str) -> Tensor:
        tensors = tree.state if group == "model" else tree.extra
        return tensors[name].detach().clone(memory_format=torch.contiguous_format)

    return TensorPool(fetch)


def rebuilt(model: nn.Module, **imports: Any) -> nn.Module:
    """Return the model built from its structure, after checking that nothing stood in the way."""
    tree = describe_tree(model)
    assert tree.problems == []
    made = build(stored(tree.structure), Imports(**imports), pool_of(tree))
    again = describe_tree(made)
    assert stored(again.structure) == stored(tree.structure)
    assert again.state.keys() == tree.state.keys()
    assert all(torch.equal(again.state[key], tree.state[key]) for key in tree.state)
    assert all(torch.equal(again.extra[key], tree.extra[key]) for key in tree.extra)
    return made


def problems(model: nn.Module) -> dict[str, str]:
    return {problem.path: problem.message for problem in describe_tree(model).problems}


def constructed(model: nn.Module, device: Any = "cpu") -> nn.Module:
    """Return the model constructed again, after checking that it is the same."""
    tree = describe_tree(model)
    call, found = describe_call(model, tree)
    assert found == []
    made = construct(stored(call), Imports(), pool_of(tree).get, device)
    again = describe_tree(made, check=False)
    assert comparable(stored(again.structure)) == comparable(stored(tree.structure))
    return made


def call_of(model: nn.Module) -> Json:
    call, found = describe_call(model, describe_tree(model))
    assert found == []
    result: Json = stored(call)
    return result


def call_problems(model: nn.Module) -> str:
    call, found = describe_call(model, describe_tree(model, check=False))
    assert call is None
    return "\n".join(problem.message for problem in found)
