"""Which bytes lie in which file: the part of the manifest that lists tensors and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from tracker.errors import FormatError
from tracker.format.dtypes import DTYPES
from tracker.format.fields import Field
from tracker.format.layout import check_file_name
from tracker.format.parts import check_parts, read_part, write_part
from tracker.types import FileElsewhere, FileEntry, Json, TensorEntry

_CHECKPOINT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""Wherever checkpoints lie, their ids name directories."""


def write_tensor(entry: TensorEntry) -> Json:
    """Return a tensor entry as JSON."""
    written: dict[str, Json] = {"dtype": entry.dtype, "shape": list(entry.shape)}
    if entry.parts:
        written["parts"] = [write_part(part) for part in entry.parts]
    else:
        written |= {"digest": entry.digest, "file": entry.file}
    optional = {"same_as": entry.same_as, "tensor": entry.tensor}
    return written | {key: value for key, value in optional.items() if value is not None}


def read_tensor(field: Field) -> TensorEntry:
    """Return the tensor entry that a field holds."""
    dtype = field.at("dtype").text()
    if dtype not in DTYPES:
        raise field.at("dtype").refuse(f"one of {', '.join(DTYPES)}")
    shape = field.at("shape").shape()
    same_as = field.get("same_as").optional(Field.text)
    if field.get("parts").value is not None:
        parts = tuple(read_part(part) for part in field.at("parts").items())
        return TensorEntry(dtype, shape, "", "", same_as, parts=parts)
    return TensorEntry(
        dtype=dtype,
        shape=shape,
        digest=field.at("digest").digest(),
        file=field.at("file").text(),
        same_as=same_as,
        tensor=field.get("tensor").optional(Field.text),
    )


def write_file_entry(entry: FileEntry) -> dict[str, Json]:
    """Return a file entry as JSON."""
    return {"size": entry.size, "digest": entry.digest}


def read_file_entry(name: str, field: Field) -> FileEntry:
    """Return the file entry that a field holds, whose key was ``name``."""
    check_file_name(name, f"{field.where}: {field.path}")
    return FileEntry(size=field.at("size").size(), digest=field.at("digest").digest())


def write_file_elsewhere(file: FileElsewhere) -> Json:
    """Return as JSON where an earlier checkpoint's file is."""
    return {
        "checkpoint": file.checkpoint,
        "file": file.file,
        **write_file_entry(file.entry),
    }


def read_file_elsewhere(field: Field) -> FileElsewhere:
    """Return the earlier checkpoint's file that a field names."""
    checkpoint, file = field.at("checkpoint").text(), field.at("file").text()
    if not _CHECKPOINT_ID.fullmatch(checkpoint):
        raise field.at("checkpoint").refuse("a checkpoint's id")
    return FileElsewhere(checkpoint, file, read_file_entry(file, field))


def check_tensors(
    tensors: Mapping[str, Mapping[str, TensorEntry]],
    files: Mapping[str, FileEntry],
    elsewhere: Mapping[str, FileElsewhere],
    where: str,
) -> None:
    """Refuse tensors in files that are not listed, and ties to what is not there."""
    both = sorted(files.keys() & elsewhere.keys())
    if both:
        raise FormatError(f"{where}: elsewhere.{both[0]} is one of the checkpoint's own files.")
    for group, entries in tensors.items():
        for name, entry in entries.items():
            path = f"{where}: tensors.{group}.{name}"
            if entry.parts or not entry.file:
                check_parts(entry, files, path)
            elif entry.file not in files and entry.file not in elsewhere:
                raise FormatError(f"{path}.file {entry.file!r} is not in files or elsewhere.")
            if entry.tensor is not None and entry.file in files:
                raise FormatError(f"{path}.tensor: a file of its own has it under its own name.")
            if entry.same_as is not None and not _is_tied(entry, entries.get(entry.same_as)):
                raise FormatError(
                    f"{path}.same_as {entry.same_as!r} is not a stored tensor of the same dtype, "
                    "shape, digest and file."
                )


def _is_tied(entry: TensorEntry, other: TensorEntry | None) -> bool:
    return other is not None and other.same_as is None and replace(entry, same_as=None) == other
