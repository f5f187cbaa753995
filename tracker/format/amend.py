"""What a checkpoint on its way to MLflow learns there: its run, and files such as ``MLmodel``.

A checkpoint never changes once MLflow has it. One that was kept on the disk, because MLflow could
not be reached, was written before its run or logged model were known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tracker.format.commit import Written, check_new_file, commit, make_directories, write_file
from tracker.format.read import open_checkpoint


def amend_manifest(directory: Path, *, run_id: str, extra_files: Mapping[str, bytes]) -> Written:
    """Give a checkpoint that MLflow does not have yet its run and further files.

    The files come first; then the manifest is replaced in one step. Amending again with other
    values is right, too, so whoever died in the middle begins anew.

    Args:
        directory: The checkpoint's directory.
        run_id: The MLflow run that it belongs to.
        extra_files: Files by name; an extra file that is there already is replaced.

    Returns:
        The checkpoint as it is now; its manifest has another digest.

    Raises:
        InvalidArgumentError: A name is not a file's, or is that of a file of tensors or of source.
        FormatError: The directory holds no checkpoint.
        StorageError: The disk refused; the checkpoint is readable as before.

    Example:
        >>> amend_manifest(Path("waiting"), run_id="0f3c", extra_files={"MLmodel": mlmodel})
    """
    manifest = open_checkpoint(directory).manifest
    taken = {source.file for source in manifest.source}
    taken |= manifest.tensor_files
    for name in extra_files:
        check_new_file(name, taken)
    made: list[Path] = []
    make_directories(directory, extra_files, made)
    files = {name: write_file(directory / name, data, made) for name, data in extra_files.items()}
    amended = replace(manifest, run_id=run_id, files={**manifest.files, **files})
    return commit(directory, amended, made)
