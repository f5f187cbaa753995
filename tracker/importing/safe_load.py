"""Reads files of others: tensors and plain values, never code, and no more than the file holds.

``weights_only=True`` is always said aloud, because an environment variable may change torch's
default, and there is no second attempt without it. What it leaves open is closed here: compressed
archives, tensors that claim more numbers than there are bytes, values that repeat themselves.
"""

from __future__ import annotations

import argparse
import os
import re
import stat
import types
import warnings
import zipfile
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor

from tracker.errors import CorruptCheckpointError, FormatError, UntrustedCheckpointError
from tracker.format.canonical import loads
from tracker.format.dtypes import CODES, DTYPES
from tracker.format.fields import Field
from tracker.format.files import opened
from tracker.format.tensors import map_tensors
from tracker.importing.harmless import Array, Dtype, safe_globals

_MAX_DEPTH = 64
_MAX_VALUES = 20_000_000
_FEWEST_VALUES = 100_000
_MOST_TIMES = 4
"""How many times the file's bytes its tensors may have: several views of one storage are rare."""

_SMALL = 64 << 20
_CHUNK = 8 << 20
_MAX_THREADS = 8
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What tells that a file was changed while it was read."""

    size: int
    modified: int
    inode: int


def snapshot(path: Path) -> Snapshot:
    """Return a file's size, time and inode.

    Raises:
        CorruptCheckpointError: It is not there, or is no regular file.
    """
    with opened(path) as file:
        state = os.fstat(file.fileno())
        return Snapshot(state.st_size, state.st_mtime_ns, state.st_ino)


def file_digest(path: Path) -> str:
    """Return the BLAKE3 digest (hex) of a file's bytes."""
    hasher = blake3(max_threads=min(os.cpu_count() or 1, _MAX_THREADS))
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def kind_of(path: Path) -> str:
    """Return what a file is by its first bytes: ``safetensors``, ``torch`` or nothing.

    Raises:
        CorruptCheckpointError: It is not there, or is no regular file.
    """
    with opened(path) as file:
        head = file.read(16)
        size = os.fstat(file.fileno()).st_size
    claimed = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and (path.suffix == ".safetensors" or claimed <= size):
        return "safetensors"
    if path.suffix == ".safetensors":
        return "safetensors"  # whose reader says what is wrong
    return "torch" if head.startswith((_ZIP, _PICKLE)) else ""


def load_safetensors(path: Path, *, copy: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, and the text in its header.

    Args:
        path: The file.
        copy: Whether to read them into memory, where nobody changes them.

    Raises:
        FormatError: It is not a whole, consistent safetensors file.
    """
    mapped = map_tensors(path)
    metadata = dict(mapped.header.metadata)
    own = Field(loads(metadata.get("tracker.dtypes", "{}").encode(), str(path)), str(path))
    names = own.texts()
    tensors: dict[str, Tensor] = {}
    for name, slot in mapped.header.slots.items():
        tensor = mapped.tensor(name, CODES[slot.code], slot.shape)
        tensor = tensor.clone() if copy else tensor
        if names.get(name) in DTYPES:  # the container has another dtype for what tracker exported
            dtype = DTYPES[names[name]]
            tensor = tensor.view(dtype.torch)
            tensor = tensor.squeeze(-1) if dtype.pair else tensor
        tensors[name] = tensor
    return tensors, metadata


def load_torch(path: Path, *, copy: bool = True) -> Any:
    """Return what ``torch.save`` wrote: tensors in plain containers, on the CPU.

    Args:
        path: The file, of any format of ``torch.save``.
        copy: Whether to read the tensors; otherwise they are mapped where that is possible.

    Raises:
        UntrustedCheckpointError: It names something that would have to be imported or called.
        CorruptCheckpointError: It is truncated or damaged.
        FormatError: It is no such file, or holds more than it could.
    """
    size = snapshot(path).size
    with opened(path) as file:
        is_archive = file.read(4) == _ZIP
    if is_archive:
        _check_archive(path, size)
    try:
        with torch.serialization.safe_globals(safe_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols, and old storages
            loaded = torch.load(
                path, map_location="cpu", weights_only=True, mmap=is_archive and not copy
            )
    except Exception as error:
        raise _refused(path, error) from error
    return _Settling(str(path), size).settle(loaded, 0)


def _check_archive(path: Path, size: int) -> None:
    """Refuse archives that torch.save does not write: compressed, or larger than their file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise CorruptCheckpointError(
            f"{path}: is a damaged archive ({error}); it may be truncated, or still being written."
        ) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise UntrustedCheckpointError(
            f"{path}: is a TorchScript program, not a file of weights. Load it with torch.jit.load "
            "where it is trusted, and save its state_dict()."
        )
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise FormatError(
                f"{path}: its entry {entry.filename!r} is compressed ({entry.compress_size} bytes "
                f"claim to be {entry.file_size}), which torch.save never does; it is not unpacked."
            )
    claimed = sum(entry.file_size for entry in entries)
    if claimed > size:
        raise FormatError(
            f"{path}: its entries claim {claimed} bytes, but the file has {size}; it is not read."
        )


def _refused(path: Path, error: Exception) -> Exception:
    told = " ".join(str(error).split())
    found = _GLOBAL.search(told)
    names = _unsafe_names(path) or ([found[1]] if found else [])
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return UntrustedCheckpointError(
            f"{path}: holds pickled objects of {shown}, which can't be loaded without running "
            "code that the file names; nothing was run. Where you trust the file, load it there "
            "and save tensors and plain values alone: torch.save(model.state_dict(), …)."
        )
    if "legacy .tar" in told or ("weights_only" in told and "tar" in told):
        return FormatError(f"{path}: is in the .tar format of torch before 0.1.10; it is not read.")
    if "Weights only load failed" in told:
        return UntrustedCheckpointError(
            f"{path}: is a pickle of more than tensors and plain values, and was not executed."
        )
    return CorruptCheckpointError(
        f"{path}: torch can't read it ({type(error).__name__}: {told[:200]}); it may be truncated, "
        "damaged, or no checkpoint."
    )


def _unsafe_names(path: Path) -> list[str]:
    """Return the names in a file that are not let in; it is only looked through."""
    try:
        with torch.serialization.safe_globals(safe_globals()):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001 - damaged in another way, which the caller tells of
        return []


class _Settling:
    """Goes through what was loaded once: counts it, and takes out what stood for NumPy's."""

    def __init__(self, where: str, size: int) -> None:
        self._where = where
        self._values = max(_FEWEST_VALUES, min(size, _MAX_VALUES))
        self._bytes = max(_SMALL, _MOST_TIMES * size)
        self._counted: set[tuple[object, ...]] = set()

    def settle(self, value: Any, depth: int) -> Any:
        self._values -= 1
        if self._values < 0:
            raise FormatError(f"{self._where}: holds more values than bytes: it repeats itself.")
        if depth > _MAX_DEPTH:
            raise FormatError(f"{self._where}: is nested more than {_MAX_DEPTH} levels deep.")
        if isinstance(value, Tensor):
            self._count(value)
            return value
        if isinstance(value, Array):
            return value.value
        if isinstance(value, Dtype):
            return value.made()
        return self._settle_container(value, depth + 1)

    def _settle_container(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in (dict, OrderedDict, Counter):
            pairs = [(self._key(key), self.settle(item, depth)) for key, item in value.items()]
            return kind(dict(pairs)) if kind is Counter else kind(pairs)
        if kind in (list, tuple, set):
            return kind(self.settle(item, depth) for item in value)
        if kind in (argparse.Namespace, types.SimpleNamespace):
            return {str(key): self.settle(item, depth) for key, item in vars(value).items()}
        return value

    def _key(self, key: object) -> object:
        return key.made() if isinstance(key, Dtype) else key

    def _count(self, tensor: Tensor) -> None:
        if tensor.is_meta or tensor.layout != torch.strided or tensor.is_nested:
            return  # they have no plain bytes; what is stored of them is counted or refused there
        what = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if what not in self._counted:
            self._counted.add(what)
            self._bytes -= tensor.numel() * tensor.element_size()
        if self._bytes < 0:
            raise FormatError(
                f"{self._where}: its tensors claim several times as many bytes as the file has; it "
                "is not read."
            )


def is_regular(path: Path) -> bool:
    """Return whether a path leads to a regular file."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
