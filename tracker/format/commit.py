"""The end of every write: files whole under their names, then the manifest, then nothing more."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracker.errors import FormatError, InvalidArgumentError, StorageError, UnstorableError
from tracker.format.digests import digest
from tracker.format.files import make_directory, replacing, sync_directory
from tracker.format.layout import MANIFEST, MAX_PLAIN_FILE, check_file_name
from tracker.format.manifest import Manifest, from_bytes, to_bytes
from tracker.format.tensors import write_all
from tracker.types import FileEntry


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint that is on the disk.

    Attributes:
        manifest: What its ``checkpoint.json`` says.
        manifest_digest: BLAKE3 (hex) of that file.
        size: Bytes of all its files, the manifest included.
        samples: A few bytes of each large tensor, by digest, for `known_tensors`.
    """

    manifest: Manifest
    manifest_digest: str
    size: int
    samples: Mapping[str, bytes] = field(default_factory=dict)


@contextlib.contextmanager
def undone_on_failure() -> Iterator[list[Path]]:
    """Collect the paths that are made; if the block fails, remove them, the last first."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in reversed(made):
            # What can't be removed, or holds files of others, stays; the cause is what to report.
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise


def make_directories(directory: Path, names: Iterable[str], made: list[Path]) -> None:
    """Make the checkpoint's directory and those of the files that are to lie in it."""
    for path in sorted({directory, *((directory / name).parent for name in names)}):
        made.extend(make_directory(path))


def check_new_file(name: str, taken: Collection[str]) -> None:
    """Raise InvalidArgumentError unless a checkpoint can have one more file of this name."""
    try:
        check_file_name(name, "content")
    except FormatError as error:
        raise InvalidArgumentError(str(error)) from error
    if name in taken:
        raise InvalidArgumentError(f"Two files of the checkpoint are named {name!r}.")


def write_file(path: Path, data: bytes, made: list[Path]) -> FileEntry:
    """Write a file that holds no tensors, whole and on the disk."""
    with replacing(path, len(data)) as file:
        write_all(file, memoryview(data))
    made.append(path)
    return FileEntry(len(data), digest(data))


def commit(directory: Path, manifest: Manifest, made: list[Path]) -> Written:
    """Write the manifest, which makes the directory a checkpoint.

    Args:
        directory: Where every file that the manifest lists is already.
        manifest: What the checkpoint consists of.
        made: The files and directories that were made for it.

    Raises:
        UnstorableError: A reader would refuse the manifest, so it was not written.
        StorageError: The disk refused.
    """
    data = to_bytes(manifest)
    if len(data) > MAX_PLAIN_FILE:
        raise UnstorableError(
            "",
            f"The manifest would have {len(data)} bytes; no more than {MAX_PLAIN_FILE} are read. "
            "Keep large values of the model or its training state in tensors.",
        )
    try:
        from_bytes(data, MANIFEST)
    except FormatError as error:
        raise UnstorableError("", f"The manifest would not be readable: {error}") from error
    for path in {path.parent for path in made}:
        sync_directory(path)
    entry = write_file(directory / MANIFEST, data, made)
    sync_directory(directory)
    size = entry.size + sum(file.size for file in manifest.files.values())
    return Written(manifest, entry.digest, size)


def withdraw_manifest(directory: Path) -> None:
    """Make a directory no checkpoint again, before MLflow has it, so that it can be written anew.

    Raises:
        StorageError: The disk refused.
    """
    try:
        (directory / MANIFEST).unlink()
    except OSError as error:
        raise StorageError(
            f"{directory / MANIFEST}: can't be removed: {error.strerror}."
        ) from error
    sync_directory(directory)
