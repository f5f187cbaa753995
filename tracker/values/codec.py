"""Encoding and decoding of nested plain values; see the package's docstring.

JSON's own types stand for themselves. Everything else is an object with one key that starts with
``$``: ``{"$tuple": [1, 2]}``. A dict is a JSON object only if that loses nothing (string keys, none
starting with ``$``, in sorted order, because the manifest sorts its keys); else it is written as
``{"$dict": [[key, value], …]}``.
"""

from __future__ import annotations

import argparse
import math
import re
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from tracker.errors import FormatError, TrackerError, UnstorableError
from tracker.types import Json
from tracker.values.leaves import (
    FLOAT,
    LEAF_BY_TAG,
    LEAF_BY_TYPE,
    NUMPY_DTYPE,
    NUMPY_SCALAR,
    Leaf,
)
from tracker.values.quantized import read_quantized, write_quantized
from tracker.values.sparse import read_sparse, write_sparse

MAX_DEPTH = 64
"""Deepest nesting of containers, both ways: more is refused, not recursed into.

Each level takes about six of the thousand calls that Python nests.
"""

StoreTensor: TypeAlias = Callable[[Tensor, str], Json]
FetchTensor: TypeAlias = Callable[[Json, str], Tensor]
EncodeSpecial: TypeAlias = Callable[[object, str], Json]
DecodeSpecial: TypeAlias = Callable[[str, Json, str], Any]
EncodeShared: TypeAlias = Callable[[object, str], Json]

_MALFORMED = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    re.error,
)
"""What the constructors of values raise when the JSON is not what `encode` writes."""

_SEQUENCES: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
_MAPPINGS: dict[type, str] = {OrderedDict: "$ordered", Counter: "$counter"}
_NAMESPACES: dict[type, str] = {
    types.SimpleNamespace: "$simplenamespace",
    argparse.Namespace: "$namespace",
}
_FACTORIES: dict[str, type] = {t.__name__: t for t in (list, dict, set, tuple, int, float, str)}
_FROM_ITEMS: dict[str, type] = {tag: kind for kind, tag in _SEQUENCES.items()}
_FROM_PAIRS: dict[str, Callable[[list[tuple[Any, Any]]], Any]] = {
    "$dict": dict,
    "$ordered": OrderedDict,
    "$counter": lambda pairs: Counter(dict(pairs)),
    "$simplenamespace": lambda pairs: types.SimpleNamespace(**dict(pairs)),
    "$namespace": lambda pairs: argparse.Namespace(**dict(pairs)),
}


def refuse(value: object, path: str) -> Json:
    """Raise UnstorableError for a value that is not plain; the default hook of `encode`."""
    kind = type(value)
    raise UnstorableError(
        path,
        f"is a {kind.__module__}.{kind.__qualname__}, which can't be stored without pickle; "
        "keep plain values (numbers, strings, lists, dicts, tensors, arrays) there.",
    )


def refuse_tag(tag: str, payload: Json, path: str) -> Any:
    """Raise FormatError for an unknown tag; the default hook of `decode`."""
    raise FormatError(f"{path}: the manifest holds a value of the unknown kind {tag!r}.")


def encode(
    value: object,
    path: str,
    *,
    tensor: StoreTensor,
    special: EncodeSpecial = refuse,
    shared: EncodeShared | None = None,
) -> Json:
    """Return ``value`` as typed JSON.

    Args:
        value: Any nesting of plain values, tensors and NumPy arrays.
        path: Name of the value, used in errors and as the stem of tensor names.
        tensor: Called for each tensor with its path; returns the JSON that will find it again.
        special: Called for each value that is not plain; returns its JSON or raises.
        shared: Called for each container; returns its JSON if it is written elsewhere, else None.

    Raises:
        UnstorableError: A value has no place in the format; names its path.

    Example:
        >>> encode((1, float("nan")), "x", tensor=lambda t, path: path)
        {'$tuple': [1, {'$float': 'nan'}]}
    """
    return _Encoder(tensor, special, shared).encode(value, path)


class _Encoder:
    """The state of one encoding: the hooks, and the containers it is inside of."""

    def __init__(
        self, tensor: StoreTensor, special: EncodeSpecial, shared: EncodeShared | None
    ) -> None:
        self._tensor = tensor
        self._special = special
        self._shared = shared
        self._inside: list[int] = []

    def encode(self, value: object, path: str) -> Json:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value  # type: ignore[return-value]
        if kind is float:
            return value if math.isfinite(value) else {FLOAT.tag: repr(value)}  # type: ignore
        leaf = LEAF_BY_TYPE.get(kind)
        if leaf is not None:
            return {leaf.tag: _written(leaf, value, path)}
        if isinstance(value, Tensor):
            if value.is_quantized:
                return {"$quantized": write_quantized(value, path, self._tensor)}
            if value.layout != torch.strided:
                return {"$sparse": write_sparse(value, path, self._tensor)}
            return {"$tensor": self._tensor(value, path)}
        if isinstance(value, np.generic | np.ndarray | np.dtype):
            return self._encode_numpy(value, path)
        return self._encode_container(value, path)

    def _encode_numpy(self, value: Any, path: str) -> Json:
        if isinstance(value, np.dtype):
            return {NUMPY_DTYPE.tag: _written(NUMPY_DTYPE, value, path)}
        dtype = value.dtype
        if dtype.hasobject or dtype.fields is not None:
            raise UnstorableError(
                path,
                f"is a NumPy value of dtype {dtype}, which holds Python objects or fields; "
                "keep numbers, or one array a field.",
            )
        if isinstance(value, np.generic):
            return {NUMPY_SCALAR.tag: _written(NUMPY_SCALAR, value, path)}
        if dtype.kind not in "biufc" or type(value) is not np.ndarray:
            return self._special(value, path)
        return {"$ndarray": self._tensor(_as_tensor(value, path), path)}

    def _encode_container(self, value: Any, path: str) -> Json:
        written = None if self._shared is None else self._shared(value, path)
        if written is not None:
            return written
        if id(value) in self._inside:
            raise UnstorableError(path, "contains itself; a checkpoint holds trees.")
        if len(self._inside) >= MAX_DEPTH:
            raise UnstorableError(path, f"is nested more than {MAX_DEPTH} levels deep.")
        self._inside.append(id(value))
        try:
            return self._encode_parts(value, type(value), path)
        finally:
            self._inside.pop()

    def _encode_parts(self, value: Any, kind: type, path: str) -> Json:
        if kind is list:
            return self._items(value, path)
        if kind is dict:
            return self._dict(value, path)
        if kind is tuple:
            return {"$tuple": self._items(value, path)}
        if kind in _SEQUENCES:
            return {_SEQUENCES[kind]: sorted(self._items(value, path), key=repr)}
        if kind in _MAPPINGS:
            return {_MAPPINGS[kind]: self._pairs(value, path)}
        if kind in _NAMESPACES:
            return {_NAMESPACES[kind]: self._pairs(vars(value), path)}
        if kind is deque:
            return {"$deque": [self._items(value, path), value.maxlen]}
        if kind is slice:
            return {"$slice": self._items((value.start, value.stop, value.step), path)}
        if kind is defaultdict:
            factory = value.default_factory
            if factory is None or factory in _FACTORIES.values():
                name = None if factory is None else factory.__name__
                return {"$defaultdict": [name, self._pairs(value, path)]}
        return self._special(value, path)

    def _items(self, values: Iterable[object], path: str) -> list[Json]:
        return [self.encode(item, f"{path}.{index}") for index, item in enumerate(values)]

    def _pairs(self, mapping: dict[Any, Any], path: str) -> list[Json]:
        return [
            [self.encode(key, f"{path} (key {key!r})"), self.encode(item, f"{path}.{key}")]
            for key, item in mapping.items()
        ]

    def _dict(self, mapping: dict[Any, Any], path: str) -> Json:
        keys = list(mapping)
        plain = all(type(key) is str and not key.startswith("$") for key in keys)
        if plain and keys == sorted(keys):
            return {key: self.encode(item, f"{path}.{key}") for key, item in mapping.items()}
        return {"$dict": self._pairs(mapping, path)}


def _written(leaf: Leaf, value: object, path: str) -> Json:
    try:
        return leaf.write(value)
    except ValueError as error:
        raise UnstorableError(path, f"{error}.") from error


def _as_tensor(array: np.ndarray[Any, Any], path: str) -> Tensor:
    """Return a copy of the array in this machine's byte order."""
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        raise UnstorableError(
            path, f"is a NumPy array of dtype {array.dtype}, which torch has no tensors of."
        ) from error


def _as_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    if tensor.is_meta:  # in a proof, where only dtype and shape count
        kind = torch.empty(0, dtype=tensor.dtype).numpy().dtype
        return np.broadcast_to(np.zeros((), kind), tuple(tensor.shape))
    return tensor.numpy()


def decode(
    data: Json,
    path: str,
    *,
    tensor: FetchTensor,
    special: DecodeSpecial = refuse_tag,
) -> Any:
    """Return the value that `encode` wrote as ``data``.

    Args:
        data: Typed JSON.
        path: Name of the value, for errors.
        tensor: Called with the JSON that the ``tensor`` hook of `encode` returned.
        special: Called as ``special(tag, payload, path)`` for tags that are not plain.

    Raises:
        FormatError: The JSON is not what `encode` writes.
    """
    return _Decoder(tensor, special).decode(data, path, 0)


class _Decoder:
    """The hooks of one decoding."""

    def __init__(self, tensor: FetchTensor, special: DecodeSpecial) -> None:
        self._tensor = tensor
        self._special = special

    def decode(self, data: Json, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise FormatError(f"{path}: nested more than {MAX_DEPTH} levels deep.")
        if isinstance(data, list):
            return self._items(data, path, depth)
        if not isinstance(data, dict):
            return data
        tag = next(iter(data), "")
        if not tag.startswith("$"):
            return {k: self.decode(v, f"{path}.{k}", depth + 1) for k, v in data.items()}
        if len(data) != 1:
            raise FormatError(f"{path}: a typed value must have one key, not {len(data)}.")
        try:
            return self._decode_tagged(tag, data[tag], path, depth)
        except TrackerError:
            raise
        except _MALFORMED as bad:
            raise FormatError(f"{path}: {tag} can't be read: {bad}") from bad

    def _decode_tagged(self, tag: str, payload: Any, path: str, depth: int) -> Any:
        leaf = LEAF_BY_TAG.get(tag)
        if leaf is not None:
            return leaf.read(payload)
        if tag in _FROM_ITEMS:
            return _FROM_ITEMS[tag](self._items(payload, path, depth))
        if tag in _FROM_PAIRS:
            return _FROM_PAIRS[tag](self._pairs(payload, path, depth))
        if tag == "$tensor":
            return self._tensor(payload, path)
        if tag == "$quantized":
            return read_quantized(payload, path, self._tensor)
        if tag == "$sparse":
            return read_sparse(payload, path, self._tensor)
        if tag == "$ndarray":
            return _as_array(self._tensor(payload, path))
        if tag == "$deque":
            return deque(self._items(payload[0], path, depth), maxlen=payload[1])
        if tag == "$slice":
            return slice(*self._items(payload, path, depth))
        if tag == "$defaultdict":
            factory = None if payload[0] is None else _FACTORIES[payload[0]]
            return defaultdict(factory, self._pairs(payload[1], path, depth))
        return self._special(tag, payload, path)

    def _items(self, items: Any, path: str, depth: int) -> list[Any]:
        if not isinstance(items, list):
            raise TypeError(f"expected a list, found {type(items).__name__}")
        return [self.decode(item, f"{path}.{i}", depth + 1) for i, item in enumerate(items)]

    def _pairs(self, pairs: Any, path: str, depth: int) -> list[tuple[Any, Any]]:
        if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
            raise TypeError("expected a list of pairs")
        return [
            (self.decode(key, f"{path} (a key)", depth + 1), self.decode(item, path, depth + 1))
            for key, item in pairs
        ]
