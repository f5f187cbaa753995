"""The header of a safetensors file: which tensor is where.

A file is 8 bytes, the length of the header as a little-endian number; the header, JSON; and the
data, where each tensor begins at the byte at which the one before it ends. Ours is padded so that
the data begins at a multiple of 64, and ordered so that large tensors do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import BinaryIO

from tracker.errors import CorruptCheckpointError, FormatError, UnstorableError
from tracker.format.canonical import dumps, loads
from tracker.format.dtypes import CODES, StoredDtype
from tracker.format.fields import MAX_DIMENSIONS, Field
from tracker.types import Json

ALIGNMENT = 64
MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors package, too."""

_METADATA = "__metadata__"
_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor in the container.

    Attributes:
        code: The container's dtype, for example ``F32``.
        shape: The container's shape.
        begin: Its first byte, counted from the first byte of the data.
        end: The byte after its last.
    """

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A file's header.

    Attributes:
        slots: Its tensors, in the order of their bytes.
        encoded: The file's bytes before the data.
        metadata: Text that the writer left.
    """

    slots: Mapping[str, Slot]
    encoded: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.encoded) + max((slot.end for slot in self.slots.values()), default=0)


def plan_header(
    tensors: Mapping[str, tuple[StoredDtype, tuple[int, ...]]], metadata: Mapping[str, str]
) -> Header:
    """Return the header of a file that is to hold tensors of these dtypes and shapes.

    Raises:
        UnstorableError: A name is taken by the container, a tensor has too many dimensions, or
            there are too many tensors.
    """
    if _METADATA in tensors:
        raise UnstorableError(
            _METADATA, "is a name that tensor files reserve; rename that parameter or buffer."
        )
    slots: dict[str, Slot] = {}
    begin = 0
    for name in _order(tensors):
        dtype, shape = tensors[name]
        if len(shape) > MAX_DIMENSIONS:
            raise UnstorableError(
                name, f"has {len(shape)} dimensions; a checkpoint's tensors have {MAX_DIMENSIONS}."
            )
        end = begin + prod(shape) * dtype.item_size
        slots[name] = Slot(dtype.code, dtype.stored_shape(shape), begin, end)
        begin = end
    return Header(slots, _encode(slots, metadata), dict(metadata))


def _order(tensors: Mapping[str, tuple[StoredDtype, tuple[int, ...]]]) -> list[str]:
    """Return the names as they are written: first those that leave the next one aligned.

    Whole multiples of `ALIGNMENT` bytes, which large tensors nearly always are, begin at such
    multiples; the rest follows, the widest dtype first.
    """

    def key(name: str) -> tuple[bool, int, str]:
        dtype, shape = tensors[name]
        return prod(shape) * dtype.item_size % ALIGNMENT != 0, -dtype.item_size, name

    return sorted(tensors, key=key)


def _encode(slots: Mapping[str, Slot], metadata: Mapping[str, str]) -> bytes:
    content: dict[str, Json] = {_METADATA: dict(metadata)} if metadata else {}
    for name, slot in slots.items():
        content[name] = {
            "dtype": slot.code,
            "shape": list(slot.shape),
            "data_offsets": [slot.begin, slot.end],
        }
    encoded = dumps(content, sort_keys=False)
    encoded += b" " * (-(_LENGTH + len(encoded)) % ALIGNMENT)
    if len(encoded) > MAX_HEADER:
        raise UnstorableError(
            "", f"{len(slots)} tensors need a header of {len(encoded)} bytes; {MAX_HEADER} fit."
        )
    return len(encoded).to_bytes(_LENGTH, "little") + encoded


def read_header_bytes(file: BinaryIO, file_size: int, where: str) -> bytes:
    """Return the bytes before the data, unread but for their length.

    Raises:
        CorruptCheckpointError: The file is too short, or the length is absurd.
    """
    length = file.read(_LENGTH)
    count = int.from_bytes(length, "little")
    if len(length) < _LENGTH or count > min(MAX_HEADER, file_size - _LENGTH):
        raise CorruptCheckpointError(
            f"{where}: is not a whole tensor file: it is {file_size} bytes long and its header "
            f"would be {count}."
        )
    encoded = file.read(count)
    if len(encoded) != count:
        raise CorruptCheckpointError(f"{where}: ended while its header was read.")
    return length + encoded


def parse_header(encoded: bytes, file_size: int, where: str) -> Header:
    """Return the header of a file of any safetensors writer, whole and consistent.

    Raises:
        FormatError: It is malformed, a tensor's bytes do not fit its shape, or the tensors overlap,
            leave holes or do not end where the file ends.
    """
    if encoded[_LENGTH : _LENGTH + 1] != b"{":
        raise FormatError(f"{where}: is not a tensor file: its header is not a JSON object.")
    root = Field(loads(encoded[_LENGTH:], where), where)
    metadata = root.get(_METADATA).optional(Field.texts) or {}
    slots = {name: _slot(entry) for name, entry in root.members() if name != _METADATA}
    in_order = dict(sorted(slots.items(), key=lambda item: (item[1].begin, item[1].end)))
    position = 0
    for name, slot in in_order.items():
        if slot.begin != position:
            raise FormatError(
                f"{where}: tensor {name} begins at byte {slot.begin} of the data, not at "
                f"{position} where the one before it ends."
            )
        position = slot.end
    header = Header(in_order, encoded, metadata)
    if header.size != file_size:
        raise FormatError(
            f"{where}: is {file_size} bytes long, but its tensors end at byte {header.size}."
        )
    return header


def _slot(entry: Field) -> Slot:
    code = entry.at("dtype").text()
    if code not in CODES:
        raise entry.at("dtype").refuse("one of " + ", ".join(CODES))
    shape = entry.at("shape").shape()
    offsets = entry.at("data_offsets").items()
    if len(offsets) != 2:
        raise entry.at("data_offsets").refuse("two numbers")
    slot = Slot(code, shape, offsets[0].size(), offsets[1].size())
    if slot.end - slot.begin != prod(shape) * CODES[code].item_size:
        raise entry.at("data_offsets").refuse(f"the bytes of shape {list(shape)} of {code}")
    return slot
