"""How a complete checkpoint directory gets into MLflow's artifact store, the manifest last."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.format.files import PARTIAL, make_directory, replacing, sync_directory
from tracker.record.boundary import mlflow_errors
from tracker.record.parallel import Running
from tracker.record.retrying import tried_again

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def upload(
    client: Client,
    model_id: str,
    directory: Path,
    *,
    last: str | None = None,
    before_last: Callable[[], None] = lambda: None,
    sent: Callable[[int], None] = lambda size: None,
) -> None:
    """Upload a checkpoint directory to the logged model's store; again is right, too.

    Several files at a time; each is tried again for some seconds where nobody answers.

    Args:
        client: MLflow.
        model_id: The logged model.
        directory: The files.
        last: The file that is uploaded after all others: the manifest; None if it is not here.
        before_last: Called when all others are there; what it raises keeps the last one here.
        sent: Called with the size of each file that is there, from several threads.

    Raises:
        RecordError: The store refused.
        RecordUnreachableError: The store could not be reached.
    """

    @tried_again
    def send(file: Path) -> None:
        parent = file.relative_to(directory).parent.as_posix()
        with mlflow_errors(f"uploading the files of {model_id}", client.tracking_uri):
            client.log_model_artifact(model_id, str(file), None if parent == "." else parent)
        sent(file.stat().st_size)

    Running(send, _files(directory, but=last), "tracker upload").finish()
    if last is not None:
        before_last()
        send(directory / last)


def sizes(client: Client, model_id: str) -> dict[str, int | None]:
    """Return the files at the top of a logged model's store, each with its bytes if it says them.

    Raises:
        RecordError: The store refused or could not be reached.
    """
    with mlflow_errors(f"listing the files of {model_id}", client.tracking_uri):
        found = client.list_logged_model_artifacts(model_id)
    return {each.path: each.file_size for each in found if not each.is_dir}


def place(directory: Path, target: Path, *, last: str) -> None:
    """Give a complete checkpoint directory its place in a local store; again is right, too.

    The files are linked where the file system can, so they need their space once, and stay in
    ``directory`` until that is removed.

    Args:
        directory: The files, all of them on the disk.
        target: Where the store has the logged model's files.
        last: The file that appears after all others: the manifest.

    Raises:
        StorageError: The disk refused.
    """
    for file in [*_files(directory, but=last), directory / last]:
        there = target / file.relative_to(directory)
        list(make_directory(there.parent))
        _place_file(file, there)
        sync_directory(there.parent)


def _place_file(file: Path, target: Path) -> None:
    temporary = target.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    try:
        os.link(file, temporary)
        os.replace(temporary, target)
    except OSError:  # another file system, or one without links
        with open(file, "rb") as source, replacing(target, file.stat().st_size) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    finally:
        # Where both are one file already, as after a first attempt, replacing removes neither.
        temporary.unlink(missing_ok=True)


def _files(directory: Path, *, but: str | None) -> list[Path]:
    """Return the files of a directory but one, without what a process that died left unfinished."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    last = None if but is None else directory / but
    return [path for path in files if path != last and path.suffix != PARTIAL]
