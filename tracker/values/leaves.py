"""Values without parts, each with its tag in the JSON: a table of type, tag and the two functions.

Adding a kind of leaf value to the format is adding a row here and in ``docs/format.md``.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import fractions
import math
import pathlib
import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from tracker.types import Json


class Leaf(NamedTuple):
    """One kind of leaf: its type, its tag, and how it is written and read."""

    type: type
    tag: str
    write: Callable[[Any], Json]
    read: Callable[[Any], Any]


def _torch_constant(kind: type) -> Callable[[Any], Any]:
    """Return a reader that accepts only ``torch.<name>`` of the given kind."""

    def read(name: Any) -> Any:
        value = getattr(torch, name, None) if isinstance(name, str) else None
        if not isinstance(value, kind):
            raise ValueError(f"torch has no {kind.__name__} {name!r}")
        return value

    return read


def _after_dot(value: object) -> str:
    return str(value).removeprefix("torch.")


def _float(name: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[name]


def _numpy_dtype(text: Any) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.hasobject:
        raise ValueError("object dtypes hold pickles")
    return dtype


def _write_numpy_scalar(value: np.generic) -> Json:
    dtype = value.dtype.newbyteorder("<")
    return [dtype.str, base64.b64encode(value.astype(dtype).tobytes()).decode()]


def _read_numpy_scalar(payload: Any) -> np.generic:
    dtype, data = payload
    scalar: np.generic = np.frombuffer(base64.b64decode(data), dtype=_numpy_dtype(dtype))[0]
    return scalar


def _write_path(value: pathlib.PurePath) -> Json:
    return value.as_posix()


def _bytes(data: Any) -> bytes:
    return base64.b64decode(data, validate=True)


LEAVES: tuple[Leaf, ...] = (
    Leaf(bytes, "$bytes", lambda v: base64.b64encode(v).decode(), _bytes),
    Leaf(
        bytearray,
        "$bytearray",
        lambda v: base64.b64encode(v).decode(),
        lambda data: bytearray(_bytes(data)),
    ),
    Leaf(complex, "$complex", lambda v: [repr(v.real), repr(v.imag)],
         lambda pair: complex(float(pair[0]), float(pair[1]))),
    Leaf(type(...), "$ellipsis", lambda v: True, lambda _: ...),
    Leaf(range, "$range", lambda v: [v.start, v.stop, v.step], lambda p: range(*p)),
    Leaf(pathlib.PosixPath, "$path", _write_path, pathlib.Path),
    Leaf(pathlib.WindowsPath, "$path", _write_path, pathlib.Path),
    Leaf(pathlib.PurePosixPath, "$purepath", _write_path, pathlib.PurePosixPath),
    Leaf(datetime.datetime, "$datetime", datetime.datetime.isoformat,
         datetime.datetime.fromisoformat),
    Leaf(datetime.date, "$date", datetime.date.isoformat, datetime.date.fromisoformat),
    Leaf(datetime.timedelta, "$timedelta", lambda v: [v.days, v.seconds, v.microseconds],
         lambda p: datetime.timedelta(*p)),
    Leaf(decimal.Decimal, "$decimal", str, decimal.Decimal),
    Leaf(fractions.Fraction, "$fraction", str, fractions.Fraction),
    Leaf(uuid.UUID, "$uuid", str, uuid.UUID),
    Leaf(re.Pattern, "$regex", lambda v: [v.pattern, v.flags], lambda p: re.compile(*p)),
    Leaf(torch.dtype, "$dtype", _after_dot, _torch_constant(torch.dtype)),
    Leaf(torch.memory_format, "$memory_format", _after_dot, _torch_constant(torch.memory_format)),
    Leaf(torch.layout, "$layout", _after_dot, _torch_constant(torch.layout)),
    Leaf(torch.device, "$device", str, torch.device),
    Leaf(torch.Size, "$size", list, torch.Size),
)

FLOAT = Leaf(float, "$float", repr, _float)
"""Only for nan and the infinities, which JSON has no words for."""

NUMPY_SCALAR = Leaf(np.generic, "$numpy", _write_numpy_scalar, _read_numpy_scalar)
NUMPY_DTYPE = Leaf(np.dtype, "$numpy_dtype", lambda v: v.str, _numpy_dtype)

LEAF_BY_TYPE: dict[type, Leaf] = {leaf.type: leaf for leaf in LEAVES}
LEAF_BY_TAG: dict[str, Leaf] = {
    leaf.tag: leaf for leaf in (*reversed(LEAVES), FLOAT, NUMPY_SCALAR, NUMPY_DTYPE)
}
