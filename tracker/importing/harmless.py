"""Values beside tensors that checkpoints of others hold, and how each is made without their code.

``torch.load(weights_only=True)`` makes tensors and plain containers. Scripts put NumPy numbers,
the parsed command line and paths beside these, for which files name classes of libraries. Here each
such name is given a maker of ours, or a class that has no code to run; no other name is let in.
"""

from __future__ import annotations

import argparse
import pathlib
import types
from typing import Any

import numpy as np

_KINDS = "biufc"
_MAX_DIMENSIONS = 64


class Dtype:
    """Stands for ``numpy.dtype`` while a file is read: a kind and size, nothing else."""

    def __init__(self, code: str, *options: object) -> None:
        self.code = code.lstrip("<>|=")
        if self.code[:1] not in _KINDS or len(self.code) > 3:
            raise ValueError(f"holds NumPy values of dtype {code!r}; expected numbers")
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or any(part is not None for part in state[2:5]):
            raise ValueError("holds NumPy values with fields; expected numbers")
        self.order = ">" if state[1] == ">" else "<"

    def made(self) -> np.dtype[Any]:
        """Return the dtype itself."""
        return np.dtype(self.order + self.code)


class Array:
    """Stands for ``numpy.ndarray`` while a file is read; `value` is the array once it is filled."""

    value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        if len(shape) > _MAX_DIMENSIONS or not isinstance(dtype, Dtype):
            raise ValueError("holds a NumPy array that is no array of numbers")
        flat = np.frombuffer(_as_bytes(data), dtype.made())
        order: Any = "F" if is_fortran else "C"
        self.value = flat.reshape(shape, order=order).astype(dtype.made().newbyteorder("="))


def _empty_array(*arguments: object) -> Array:
    return Array()


def _scalar(dtype: Dtype, data: bytes | str) -> np.generic:
    made: np.generic = np.frombuffer(_as_bytes(data), dtype.made(), count=1)[0]
    return made


def _as_bytes(data: bytes | str) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _path(*parts: str) -> pathlib.PurePath:
    return pathlib.PurePosixPath(*parts)


def _windows_path(*parts: str) -> pathlib.PurePath:
    return pathlib.PureWindowsPath(*parts)


def safe_globals() -> list[Any]:
    """Return what ``torch.serialization.safe_globals`` takes: makers, by the names in files."""
    numpy_names = [
        (maker, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for maker, name in ((_scalar, "scalar"), (_empty_array, "_reconstruct"))
    ]
    paths = [
        (maker, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for maker, names in ((_path, "Posix"), (_windows_path, "Windows"))
        for name in (f"{names}Path", f"Pure{names}Path")
    ]
    return [
        *numpy_names,
        *paths,
        (Dtype, "numpy.dtype"),
        (Array, "numpy.ndarray"),
        argparse.Namespace,
        types.SimpleNamespace,
    ]
