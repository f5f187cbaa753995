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
        # Not getattr: torch imports some of its submodules when they are first asked for.
        value = vars(torch).get(name) if isinstance(name, str) else None
        if not isinstance(value, kind):
            raise ValueError(f"torch has no {kind.__name__} {name!r}")
        return value

    return read


def _after_dot(value: object) -> str:
    return str(value).removeprefix("torch.")


def _float(name: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[name]


def _numpy_dtype(text: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(text)
    if dtype.hasobject:
        raise ValueError("object dtypes hold pickles")
    return dtype


def _write_numpy_dtype(value: np.dtype[Any]) -> Json:
    if value.hasobject or value.fields or value.subdtype or np.dtype(value.str) != value:
        raise ValueError(f"is the NumPy dtype {value}, which its name does not fully describe")
    return str(value.str)


def _write_numpy_scalar(value: np.generic) -> Json:
    dtype = value.dtype.newbyteorder("<")
    return [dtype.str, base64.b64encode(value.astype(dtype).tobytes()).decode()]


def _read_numpy_scalar(payload: Any) -> np.generic:
    name, data = payload
    dtype, content = _numpy_dtype(name), _bytes(data)
    if not dtype.itemsize:
        return dtype.type()  # type: ignore[no-any-return]
    if len(content) != dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are not one {dtype}")
    return np.frombuffer(content, dtype=dtype)[0]  # type: ignore[no-any-return]


def _write_path(value: pathlib.PurePath) -> Json:
    return value.as_posix()


def _bytes(data: Any) -> bytes:
    return base64.b64decode(data, validate=True)


def _write_datetime(value: datetime.datetime) -> Json:
    if type(value.tzinfo) not in (type(None), datetime.timezone):
        raise ValueError(
            f"is a datetime of the time zone {value.tzinfo!r}, of which ISO 8601 keeps only the "
            "offset; keep it as UTC (value.astimezone(datetime.timezone.utc))"
        )
    return [value.isoformat(), value.fold] if value.fold else value.isoformat()


def _read_datetime(payload: Any) -> datetime.datetime:
    text, fold = (payload, 0) if isinstance(payload, str) else payload
    return datetime.datetime.fromisoformat(text).replace(fold=fold)


def _read_fraction(text: Any) -> fractions.Fraction:
    # Not Fraction(text): that also takes "1e999999999" and computes it.
    numerator, _, denominator = text.partition("/")
    return fractions.Fraction(int(numerator), int(denominator or 1))


def _write_regex(value: re.Pattern[Any]) -> Json:
    if isinstance(value.pattern, bytes):
        return [value.pattern.decode("latin-1"), value.flags, "bytes"]
    return [value.pattern, value.flags]


def _read_regex(payload: Any) -> re.Pattern[Any]:
    pattern, flags, *is_bytes = payload
    if flags & re.DEBUG:
        raise ValueError("re.DEBUG would print")
    return re.compile(pattern.encode("latin-1") if is_bytes else pattern, flags)


LEAVES: tuple[Leaf, ...] = (
    Leaf(bytes, "$bytes", lambda v: base64.b64encode(v).decode(), _bytes),
    Leaf(
        bytearray,
        "$bytearray",
        lambda v: base64.b64encode(v).decode(),
        lambda data: bytearray(_bytes(data)),
    ),
    Leaf(
        complex,
        "$complex",
        lambda v: [repr(v.real), repr(v.imag)],
        lambda pair: complex(float(pair[0]), float(pair[1])),
    ),
    Leaf(type(...), "$ellipsis", lambda v: True, lambda _: ...),
    Leaf(range, "$range", lambda v: [v.start, v.stop, v.step], lambda p: range(*p)),
    Leaf(pathlib.PosixPath, "$path", _write_path, pathlib.Path),
    Leaf(pathlib.WindowsPath, "$path", _write_path, pathlib.Path),
    Leaf(pathlib.PurePosixPath, "$purepath", _write_path, pathlib.PurePosixPath),
    Leaf(datetime.datetime, "$datetime", _write_datetime, _read_datetime),
    Leaf(datetime.date, "$date", datetime.date.isoformat, datetime.date.fromisoformat),
    Leaf(
        datetime.timedelta,
        "$timedelta",
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda p: datetime.timedelta(*p),
    ),
    Leaf(decimal.Decimal, "$decimal", str, decimal.Decimal),
    Leaf(fractions.Fraction, "$fraction", str, _read_fraction),
    Leaf(uuid.UUID, "$uuid", str, uuid.UUID),
    Leaf(re.Pattern, "$regex", _write_regex, _read_regex),
    Leaf(torch.dtype, "$dtype", _after_dot, _torch_constant(torch.dtype)),
    Leaf(torch.memory_format, "$memory_format", _after_dot, _torch_constant(torch.memory_format)),
    Leaf(torch.qscheme, "$qscheme", _after_dot, _torch_constant(torch.qscheme)),
    Leaf(torch.layout, "$layout", _after_dot, _torch_constant(torch.layout)),
    Leaf(torch.device, "$device", str, torch.device),
    Leaf(torch.Size, "$size", list, torch.Size),
)

FLOAT = Leaf(float, "$float", repr, _float)
"""Only for nan and the infinities, which JSON has no words for."""

NUMPY_SCALAR = Leaf(np.generic, "$numpy", _write_numpy_scalar, _read_numpy_scalar)
NUMPY_DTYPE = Leaf(np.dtype, "$numpy_dtype", _write_numpy_dtype, _numpy_dtype)

LEAF_BY_TYPE: dict[type, Leaf] = {leaf.type: leaf for leaf in LEAVES}
LEAF_BY_TAG: dict[str, Leaf] = {
    leaf.tag: leaf for leaf in (*reversed(LEAVES), FLOAT, NUMPY_SCALAR, NUMPY_DTYPE)
}
