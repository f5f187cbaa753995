"""The dtypes of a checkpoint: torch's name, and how the safetensors container holds each.

Adding a dtype to the format is adding a row here and in ``docs/format.md``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from tracker.errors import FormatError, UnstorableError
from tracker.values.tensors import check_storable


@dataclass(frozen=True, slots=True)
class StoredDtype:
    """One dtype and its place in the container.

    Attributes:
        name: torch's name without the prefix; the manifest has this one.
        torch: torch's dtype.
        code: The container's name of the elements that hold it.
        pair: Whether each number is two elements of the container, a last dimension of 2.
    """

    name: str
    torch: torch.dtype
    code: str
    pair: bool = False

    @property
    def item_size(self) -> int:
        """Bytes of one number."""
        return self.torch.itemsize

    @property
    def is_view(self) -> bool:
        """Whether the container has other numbers than the tensor: only its bytes are the same."""
        return CODES[self.code].torch != self.torch

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that the container has for a tensor of ``shape``."""
        return (*shape, 2) if self.pair else shape


_ROWS: tuple[StoredDtype, ...] = (
    StoredDtype("bool", torch.bool, "BOOL"),
    StoredDtype("uint8", torch.uint8, "U8"),
    StoredDtype("int8", torch.int8, "I8"),
    StoredDtype("int16", torch.int16, "I16"),
    StoredDtype("uint16", torch.uint16, "U16"),
    StoredDtype("int32", torch.int32, "I32"),
    StoredDtype("uint32", torch.uint32, "U32"),
    StoredDtype("int64", torch.int64, "I64"),
    StoredDtype("uint64", torch.uint64, "U64"),
    StoredDtype("float16", torch.float16, "F16"),
    StoredDtype("bfloat16", torch.bfloat16, "BF16"),
    StoredDtype("float32", torch.float32, "F32"),
    StoredDtype("float64", torch.float64, "F64"),
    StoredDtype("float8_e4m3fn", torch.float8_e4m3fn, "F8_E4M3"),
    StoredDtype("float8_e5m2", torch.float8_e5m2, "F8_E5M2"),
    StoredDtype("float8_e8m0fnu", torch.float8_e8m0fnu, "F8_E8M0"),
    StoredDtype("complex64", torch.complex64, "C64"),
    # These have no name in every release of safetensors, so the container has a view of them.
    StoredDtype("float8_e4m3fnuz", torch.float8_e4m3fnuz, "U8"),
    StoredDtype("float8_e5m2fnuz", torch.float8_e5m2fnuz, "U8"),
    StoredDtype("complex32", torch.complex32, "F16", pair=True),
    StoredDtype("complex128", torch.complex128, "F64", pair=True),
)

DTYPES: dict[str, StoredDtype] = {row.name: row for row in _ROWS}
BY_TORCH: dict[torch.dtype, StoredDtype] = {row.torch: row for row in _ROWS}

CODES: dict[str, StoredDtype] = {row.code: row for row in reversed(_ROWS) if not row.pair}
"""The container's codes, each with the dtype whose own code it is."""


def stored_dtype(tensor: Tensor, name: str) -> StoredDtype:
    """Return how ``tensor`` is stored.

    Args:
        tensor: Any tensor.
        name: Its name, for errors.

    Raises:
        UnstorableError: It is not plain dense memory, or its dtype is not in the table.
    """
    check_storable(tensor, name)
    if tensor.is_nested:
        raise UnstorableError(
            name,
            "is a nested tensor; a checkpoint holds dense tensors. Keep its values and its "
            "offsets as two tensors.",
        )
    stored = BY_TORCH.get(tensor.dtype)
    if stored is None:
        raise UnstorableError(
            name,
            f"is a tensor of {tensor.dtype}, which has no place in the checkpoint format; convert "
            f"it to one of {', '.join(DTYPES)}, or keep its bytes as torch.uint8.",
        )
    return stored


def require_little_endian() -> None:
    """Raise FormatError on a machine whose bytes are the other way round than the format's."""
    if sys.byteorder != "little":
        raise FormatError(
            "This machine is big endian, but a checkpoint holds little-endian numbers that are "
            "mapped into memory as they are; use a little-endian machine (x86-64, ARM64)."
        )
