"""Reading a checkpoint directory: nothing is handed out before its digest was compared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tracker.errors import (
    CorruptCheckpointError,
    FormatError,
    InvalidArgumentError,
    NotFoundError,
)
from tracker.format.digests import digest, digests
from tracker.format.dtypes import DTYPES
from tracker.format.elsewhere import Locate, mappings, path_elsewhere
from tracker.format.files import PARTIAL, opened
from tracker.format.layout import ATTACHED, MANIFEST, MAX_PLAIN_FILE, contained, inside
from tracker.format.manifest import Manifest, from_bytes
from tracker.format.parts import Box, overlapping, within
from tracker.format.pieces import Piece, all_pieces, pieces_of
from tracker.format.signature import refuse_pickle
from tracker.format.tensors import MappedTensors, map_tensors
from tracker.types import FileEntry, TensorEntry


def open_checkpoint(
    directory: Path, *, manifest_digest: str | None = None, locate: Locate | None = None
) -> StoredCheckpoint:
    """Read a checkpoint's manifest. Tensors are mapped when they are asked for.

    Args:
        directory: The checkpoint's directory.
        manifest_digest: BLAKE3 (hex) that ``checkpoint.json`` must have, if it is known.
        locate: Where the earlier checkpoints of the run are. It is asked when a tensor is needed
            that one of them holds for this one.

    Raises:
        CorruptCheckpointError: The manifest's digest differs.
        NewerFormatError: It was written by a newer tracker.
        FormatError: There is no checkpoint, or it is malformed.
        StorageError: The disk refused.

    Example:
        >>> open_checkpoint(Path("epoch-6")).tensor("model", "fc.weight").shape
        torch.Size([10, 384])
    """
    path = contained(directory, MANIFEST, str(directory))
    if not os.path.lexists(path):
        raise FormatError(f"{directory}: holds no {MANIFEST}, {_what_is_there(directory)}.")
    data = _read_whole(path)
    if manifest_digest is not None and digest(data) != manifest_digest:
        raise CorruptCheckpointError(
            f"{path}: differs from what was written (BLAKE3 {digest(data)}, expected "
            f"{manifest_digest}); copy or download the checkpoint again."
        )
    refuse_pickle(data, str(path), "JSON")
    return StoredCheckpoint(directory, from_bytes(data, str(path)), locate)


class StoredCheckpoint:
    """A checkpoint on the disk.

    Its files must not be changed in place while tensors of it are in use: they are mapped.

    Attributes:
        directory: Where it is.
        manifest: What it consists of.
    """

    def __init__(self, directory: Path, manifest: Manifest, locate: Locate | None = None) -> None:
        self.directory = directory
        self.manifest = manifest
        self._locate = locate
        self._mappings = mappings(manifest)
        self._files: dict[tuple[str, str, int], MappedTensors] = {}
        self._in_use: set[tuple[str, str, int]] = set()
        self._tensors: dict[tuple[str, str], Tensor] = {}
        self._verified: set[tuple[str, Piece]] = set()

    def tensor(self, group: str, name: str, *, verify: bool = True) -> Tensor:
        """Return one tensor, on the CPU, mapped from its file.

        Writing to it changes memory of this process, never the file. The same tensor object is
        returned again for the same name, and for every name it is tied to.

        Args:
            group: ``model``, ``architecture`` or ``training``.
            name: Its name.
            verify: Whether its bytes must have been compared with its digest.

        Raises:
            NotFoundError: There is no such tensor, or the file of an earlier checkpoint that holds
                it is gone.
            CorruptCheckpointError: Its bytes differ from what was written.
            FormatError: Its file and the manifest disagree.
        """
        entries = self._group(group)
        if name not in entries:
            raise NotFoundError(
                f"{self.directory}: group {group!r} has no tensor {name!r}; it has "
                f"{_shown(entries)}."
            )
        if verify:
            self._verify_tensors(group, [name], again=False)
        return self._mapped(group, name)

    def tensors(self, group: str, *, verify: bool = True) -> dict[str, Tensor]:
        """Return every tensor of a group by name, as `tensor` does; none for an absent group."""
        entries = self._group(group)
        if verify:
            self._verify_tensors(group, entries, again=False)
        return {name: self._mapped(group, name) for name in entries}

    def region(self, group: str, name: str, box: Box, *, verify: bool = True) -> Tensor:
        """Return a box of a tensor, in memory of its own; parts outside of it stay unread.

        Args:
            group: The tensor's group.
            name: Its name.
            box: Where the box begins in the tensor, and its shape.
            verify: Whether what it is taken from must have been compared with its digest.

        Raises:
            NotFoundError: There is no such tensor.
            CorruptCheckpointError: Bytes differ from what was written.
            FormatError: A file and the manifest disagree.
        """
        entry = self._group(group).get(name)
        if entry is None or not entry.parts:
            whole = self.tensor(group, name, verify=verify)
            return whole[within(box, (0,) * whole.dim())].clone()
        stored = entry.same_as or name
        found = overlapping(entry.parts, box)
        if verify:
            wanted = {part.offset for part, _ in found}
            pieces = [piece for piece in pieces_of(stored, entry) if piece.offset in wanted]
            self._verify_pieces(group, pieces, again=False)
        dtype = DTYPES[entry.dtype]
        # First, so that no memory is taken for what no file holds.
        files = [self._mapping(group, part.file, 0) for part, _ in found]
        made = torch.empty(box[1], dtype=dtype.torch)
        for file, (part, common) in zip(files, found, strict=True):
            piece = file.tensor(part.tensor or stored, dtype, part.shape)
            made[within(common, box[0])] = piece[within(common, part.offset)]
        return made

    def verify(
        self,
        group: str | None = None,
        names: Iterable[str] | None = None,
        *,
        again: bool = True,
    ) -> None:
        """Read every byte of the checkpoint, or of one group of tensors, and compare its digest.

        Args:
            group: The group; all, and every other file, by default.
            names: Tensors of the group; all by default.
            again: Whether to read tensors that were verified before.

        Raises:
            CorruptCheckpointError: Something differs; names the file and the tensor.
            FormatError: A file and the manifest disagree.
            StorageError: The disk refused.
        """
        if group is not None:
            chosen = self._group(group) if names is None else names
            self._verify_tensors(group, chosen, again=again)
            return
        for each, entries in self.manifest.tensors.items():
            self._verify_tensors(each, entries, again=again)
        for name in self.manifest.files.keys() - self.manifest.tensor_files:
            self.read_file(name)

    def files_for(self, groups: Iterable[str] | None = None) -> list[str]:
        """Return what the manifest calls the files that are needed for groups of tensors.

        These are the files that hold tensors of the groups, and those that hold none; all for
        None, and nothing for no group. Files that the user laid beside the model are needed for
        the group ``files`` alone.
        """
        every = self.manifest.tensors if groups is None else list(groups)
        if groups is not None and not every:
            return []
        entries = [entry for group in every for entry in self._group(group).values()]
        holding = {file for entry in entries for file in entry.files}
        plain = self.manifest.files.keys() - self.manifest.tensor_files
        if ATTACHED.removesuffix("/") not in every and groups is not None:
            plain = {name for name in plain if not name.startswith(ATTACHED)}
        return sorted(holding | plain)

    def verify_file(self, name: str) -> None:
        """Read what the checkpoint consists of in one file, and compare its digests.

        Args:
            name: What the manifest calls the file.

        Raises:
            CorruptCheckpointError: Something differs; names the file and the tensor.
            FormatError: The file and the manifest disagree.
            StorageError: The disk refused.
        """
        if name not in self.manifest.tensor_files:
            self.read_file(name)
            return
        for group, entries in self.manifest.tensors.items():
            inside_file = [piece for piece in all_pieces(entries) if piece.file == name]
            self._verify_pieces(group, inside_file, again=False)

    def read_file(self, path: str) -> bytes:
        """Return the content of a file that does not hold tensors, once its digest is compared.

        Args:
            path: Its name as in ``manifest.files``, for example ``source/net.py``.

        Raises:
            NotFoundError: The manifest has no such file.
            InvalidArgumentError: It holds tensors.
            CorruptCheckpointError: Its bytes differ from what was written.
        """
        entry = self.manifest.files.get(path)
        if entry is None:
            raise NotFoundError(
                f"{self.directory}: has no file {path!r}; it has {_shown(self.manifest.files)}."
            )
        if path in self.manifest.tensor_files:
            raise InvalidArgumentError(f"{path!r} holds tensors; use tensor() or tensors().")
        data = _read_whole(inside(self.directory, path, str(self.directory)), entry.size)
        if digest(data) != entry.digest:
            raise _differs(self.directory / path, "")
        return data

    def attached(self) -> list[str]:
        """Return the names of the files that the user laid beside the model."""
        names = (name for name in self.manifest.files if name.startswith(ATTACHED))
        return sorted(name.removeprefix(ATTACHED) for name in names)

    def _group(self, group: str) -> Mapping[str, TensorEntry]:
        return self.manifest.tensors.get(group, {})

    def _mapped(self, group: str, name: str) -> Tensor:
        entry = self._group(group)[name]
        stored = entry.same_as or name
        known = self._tensors.get((group, stored))
        if known is not None:
            return known
        if entry.parts:
            whole = ((0,) * len(entry.shape), entry.shape)
            joined = self.region(group, stored, whole, verify=False)
            return self._tensors.setdefault((group, stored), joined)
        number = self._mappings.get((group, stored), 0)
        self._in_use.add((group, entry.file, number))
        file = self._mapping(group, entry.file, number)
        made = file.tensor(entry.tensor or stored, DTYPES[entry.dtype], entry.shape)
        return self._tensors.setdefault((group, stored), made)

    def _mapping(self, group: str, name: str, number: int) -> MappedTensors:
        """Return the memory that a file's tensors are views of, one of several alike."""
        place = (group, name, number)
        file = self._files.get(place)
        return file or self._files.setdefault(place, self._open(group, name))

    def _untouched(self, group: str, name: str) -> MappedTensors:
        """Return a file as it is on the disk: tensors already handed out may be changed.

        Where none was, that is the memory in which they will be: its pages need not come twice.
        """
        if (group, name, 0) in self._in_use:
            return self._open(group, name, writable=False)
        return self._mapping(group, name, 0)

    def _open(self, group: str, name: str, *, writable: bool = True) -> MappedTensors:
        """Map a tensor file whose size, header and tensors are those of the manifest."""
        path, expected = self._place(name)
        _check_first_bytes(path, expected.size)
        file = map_tensors(path, writable=writable, header_digest=expected.digest)
        pieces = [piece for piece in all_pieces(self._group(group)) if piece.file == name]
        needed, there = {piece.tensor for piece in pieces}, file.header.slots.keys()
        # A file elsewhere has other tensors, too: those of its own checkpoint.
        strange = needed ^ there if name in self.manifest.files else needed - there
        if strange:
            raise FormatError(
                f"{path}: the file and the manifest have different tensors: {_shown(strange)}."
            )
        for piece in pieces:
            file.check(piece.tensor, DTYPES[piece.dtype], piece.shape)
        return file

    def _place(self, name: str) -> tuple[Path, FileEntry]:
        own = self.manifest.files.get(name)
        if own is not None:
            return inside(self.directory, name, str(self.directory)), own
        path = path_elsewhere(self.directory, self.manifest, name, self._locate)
        return path, self.manifest.elsewhere[name].entry

    def _verify_tensors(self, group: str, names: Iterable[str], *, again: bool) -> None:
        """Compare the digests of tensors.

        Args:
            group: The group.
            names: Names in it.
            again: Whether to read what was verified before.
        """
        entries = self._group(group)
        stored = dict.fromkeys(entries[name].same_as or name for name in names)
        pieces = [piece for name in stored for piece in pieces_of(name, entries[name])]
        self._verify_pieces(group, pieces, again=again)

    def _verify_pieces(self, group: str, pieces: Iterable[Piece], *, again: bool) -> None:
        files: dict[str, list[Piece]] = {}
        for piece in pieces:
            if again or (group, piece) not in self._verified:
                files.setdefault(piece.file, []).append(piece)
        for path, inside_file in files.items():
            file = self._untouched(group, path)
            found = digests([file.bytes(piece.tensor) for piece in inside_file])
            for piece, digest_found in zip(inside_file, found, strict=True):
                if digest_found != piece.digest:
                    raise _differs(Path(file.where), piece.name)
                self._verified.add((group, piece))


def _read_whole(path: Path, size: int | None = None) -> bytes:
    """Return a file's content; ``size`` is the one it must have."""
    with opened(path) as file:
        found = os.fstat(file.fileno()).st_size
        if size is not None and found != size:
            raise CorruptCheckpointError(f"{path}: is {found} bytes long, but {size} were written.")
        if found > MAX_PLAIN_FILE:
            raise FormatError(f"{path}: {found} bytes are more than {MAX_PLAIN_FILE}; not read.")
        return file.read(found)


def _check_first_bytes(path: Path, size: int) -> None:
    with opened(path) as file:
        refuse_pickle(file.read(16), str(path), "a safetensors file")
        found = os.fstat(file.fileno()).st_size
    if found != size:
        raise CorruptCheckpointError(
            f"{path}: is {found} bytes long, but {size} were written; "
            "copy or download the checkpoint again."
        )


def _differs(path: Path, tensor: str) -> CorruptCheckpointError:
    what = f"tensor {tensor!r} differs" if tensor else "its bytes differ"
    return CorruptCheckpointError(
        f"{path}: {what} from what was written; copy or download the checkpoint again."
    )


def _what_is_there(directory: Path) -> str:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        return f"because the directory can't be listed ({error.strerror})"
    if any(name.endswith(PARTIAL) for name in names):
        return "because its writer was interrupted: it was never a whole checkpoint"
    return f"only {_shown(names)}" if names else "because the directory is empty"


def _shown(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - 8} more" if len(every) > 8 else ""
    return (", ".join(every[:8]) or "none") + more
