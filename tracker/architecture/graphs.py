"""The graph of a ``torch.fx.GraphModule`` as JSON, and back.

A graph module is its nodes; torch writes the Python of its ``forward`` from them and executes it.
So a graph from a checkpoint is held to what tracing produces: names that are names, calls of
functions that a model may refer to, methods and properties of tensors, and plain values. What else
a node carries (shapes met while tracing, stack traces) is not stored.
"""

from __future__ import annotations

import builtins
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import CodeGen

from tracker.architecture.references import NotReferableError, reference
from tracker.errors import FormatError, UntrustedCheckpointError
from tracker.types import Json
from tracker.values import decode, encode

PROPERTIES = frozenset(
    "shape ndim dtype device layout T mT H mH real imag is_cuda requires_grad itemsize nbytes "
    "start stop step".split()
)
"""Attributes that a graph may read of a value: a traced ``x.shape`` is a call of getattr."""

OPERATORS = frozenset(
    f"operator:{name}"
    for name in (
        "abs add and_ eq floordiv ge getitem gt iadd iand ifloordiv imul invert ior ipow isub "
        "itruediv ixor le lshift lt matmul mod mul ne neg not_ or_ pos pow rshift sub truediv xor"
    ).split()
)
"""Functions of ``operator`` that a graph may call."""

METHODS = frozenset(
    name
    for name in dir(Tensor)
    if not name.startswith("_") and callable(getattr(Tensor, name)) and "hook" not in name
)
"""Methods that a graph may call: those of tensors, without those that register code."""

_TYPES = {kind.__name__: kind for kind in (Tensor, bool, float, int, list, str, tuple)}

_NAME = re.compile(r"[A-Za-z_]\w*")
_PATH = re.compile(r"\w+(\.\w+)*")
_PARAMETER = re.compile(r"\*{0,2}[A-Za-z_]\w*")
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    type(...),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.Size,
)
_OWN_ATTRIBUTES = frozenset(vars(fx.GraphModule(nn.Module(), fx.Graph())))


def is_made_with_graph(module: nn.Module, name: str) -> bool:
    """Return whether an attribute is one of those that every graph module has of itself."""
    return isinstance(module, fx.GraphModule) and name in _OWN_ATTRIBUTES


def describe_graph(module: fx.GraphModule) -> Json:
    """Return the graph's nodes as JSON.

    Raises:
        NotReferableError: A node calls what another process could not find, or generates its code
            in another way than tracing does (``torch.export``).
    """
    if type(module.graph._codegen) is not CodeGen:
        raise NotReferableError("its graph has a calling convention of its own (torch.export)")
    return {
        "name": type(module).__name__,
        "nodes": [
            [node.op, node.name, _target(node), _value(node.args), _value(node.kwargs), _type(node)]
            for node in module.graph.nodes
        ],
    }


def _type(node: fx.Node) -> Json:
    """Return the name of a node's annotation, if it is of those that are kept: for people."""
    return next((name for name, kind in _TYPES.items() if kind is node.type), None)


def _target(node: fx.Node) -> Json:
    if node.op != "call_function":
        return str(node.target)
    if node.target is builtins.getattr:
        return "builtins:getattr"
    try:
        return reference(node.target)
    except NotReferableError as error:
        raise NotReferableError(f"the node {node.name} calls a function: {error}") from error


def _value(value: Any) -> Json:
    if isinstance(value, fx.Node):
        return {"$node": value.name}
    if isinstance(value, tuple) and type(value) is not torch.Size:
        return {"$tuple": [_value(item) for item in value]}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {"$dict": [[_value(key), _value(item)] for key, item in value.items()]}
    if isinstance(value, slice):
        return {"$slice": [_value(part) for part in (value.start, value.stop, value.step)]}
    if type(value) not in _PLAIN:
        raise NotReferableError(f"its graph holds a {type(value).__qualname__}")
    return encode(value, "graph", tensor=lambda tensor, path: None)


def empty_graph_module(description: Json, path: str) -> fx.GraphModule:
    """Return a graph module of the described name, its graph still empty."""
    name = description.get("name") if isinstance(description, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FormatError(f"{path}: {name!r} is not the name of a graph module.")
    return fx.GraphModule(nn.Module(), fx.Graph(), class_name=name)


def put_graph(
    module: fx.GraphModule, description: Json, function: Callable[[Json, str], Any], path: str
) -> None:
    """Give a graph module its graph, once its children are in place.

    Args:
        module: The module.
        description: What `describe_graph` returned.
        function: Returns the function of a name if a model may refer to it, or raises.
        path: Where the graph is in the manifest, for errors.

    Raises:
        UntrustedCheckpointError: A node calls or reads what no graph may.
        FormatError: It is not what `describe_graph` writes.
    """
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    described: Any = description
    for op, name, target, args, kwargs, annotation in described["nodes"]:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in nodes:
            raise FormatError(f"{path}: {name!r} can't be the name of a node.")
        values, keywords = _read(args, nodes, path), _read(kwargs, nodes, path)
        if type(values) is not tuple or type(keywords) is not dict:
            raise FormatError(f"{path}.{name}: a node has a tuple and a dict of arguments.")
        if not all(isinstance(key, str) and _NAME.fullmatch(key) for key in keywords):
            raise FormatError(f"{path}.{name}: keywords must be names.")
        found = _read_target(op, target, values, function, f"{path}.{name}")
        if op in ("call_module", "get_attr"):
            _check_place(module, op, found, f"{path}.{name}")
        nodes[name] = graph.create_node(
            op, found, values, keywords, name, _TYPES.get(str(annotation))
        )
    module.graph = graph


def _read_target(
    op: str, target: Json, args: tuple[Any, ...], function: Callable[[Json, str], Any], path: str
) -> Any:
    if not isinstance(target, str):
        raise FormatError(f"{path}: a target must be text.")
    patterns = {"placeholder": _PARAMETER, "output": _NAME, "get_attr": _PATH, "call_module": _PATH}
    if op in patterns:
        hidden = any(part.startswith("__") for part in target.split("."))
        if not patterns[op].fullmatch(target) or hidden:
            raise FormatError(f"{path}: {target!r} can't be the target of {op}.")
        return target
    if op == "call_method":
        if target not in METHODS:
            raise UntrustedCheckpointError(f"{path}: a graph may not call the method {target!r}.")
        return target
    if op != "call_function":
        raise FormatError(f"{path}: a graph has no operation {op!r}.")
    if target == "builtins:getattr":
        if len(args) < 2 or args[1] not in PROPERTIES:
            raise UntrustedCheckpointError(f"{path}: a graph may not read {args[1:2]}.")
        return builtins.getattr
    if target in OPERATORS:
        return getattr(operator, target.partition(":")[2])
    return function(target, path)


def _check_place(module: nn.Module, op: str, target: str, path: str) -> None:
    """Refuse places in the module tree that hold something to call beside modules: its methods."""
    *inside, name = target.split(".")
    owner: nn.Module | None = module
    for part in inside:
        owner = None if owner is None else owner._modules.get(part)
    if owner is not None:
        if op == "call_module" and owner._modules.get(name) is not None:
            return
        values = {**vars(owner), **owner._buffers, **owner._parameters}
        if op == "get_attr" and name in values and not callable(values[name]):
            return
    raise UntrustedCheckpointError(f"{path}: {op} of {target!r}, which is nothing of that kind.")


def _read(data: Json, nodes: dict[str, fx.Node], path: str) -> Any:
    def special(tag: str, payload: Any, where: str) -> Any:
        if tag != "$node" or payload not in nodes:
            raise FormatError(f"{where}: a graph holds nodes that came before, not {tag}.")
        return nodes[payload]

    def tensor(name: Json, where: str) -> Tensor:
        raise FormatError(f"{where}: a graph holds no tensors; they are attributes of its module.")

    value = decode(data, path, tensor=tensor, special=special)
    try:
        _value(value)
    except NotReferableError as error:
        raise FormatError(f"{path}: {error}, which no graph can hold.") from error
    return value
