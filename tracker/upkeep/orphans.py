"""What lies in the artifact store of an experiment, and whether MLflow has ever known it.

MLflow does not list logged models that were deleted, but the runs still name them as their outputs.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import NotFoundError, RecordError, StorageError
from tracker.format.files import PARTIAL
from tracker.format.layout import MANIFEST, REMOVED
from tracker.record import artifacts, mlflow_bar, neighbours, store_listing
from tracker.record.flavor_file import LOADER

if TYPE_CHECKING:
    from tracker.record.boundary import Client

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_MLMODEL = "MLmodel"
_TOO_LARGE = 1 << 28


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a logged model in the artifact store.

    Attributes:
        id: The logged model.
        artifact_uri: Where they are.
        changed_at: When the newest of them was written, in seconds since 1970-01-01 UTC, as far as
            that is known; infinite if it is not.
        sizes: Bytes by name, of a local store; None of a remote one.
        is_known: Whether MLflow knows the run that they belong to, and they are tracker's.
        run_id: That run; "" if nobody knows.
        name: The checkpoint's name; "" if nobody knows.
    """

    id: str
    artifact_uri: str
    changed_at: float
    sizes: dict[str, int] | None
    is_known: bool = True
    run_id: str = ""
    name: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files; None for a remote store."""
        return None if self.sizes is None else sum(self.sizes.values())

    def spare(self, needed: Collection[str]) -> int | None:
        """Return how many bytes are in other files than those that are needed."""
        if self.sizes is None:
            return None
        kept = {*needed, REMOVED}
        return sum(size for name, size in self.sizes.items() if name not in kept)


def folders(client: Client, experiment_id: str, known: Collection[str]) -> list[Folder]:
    """Return what lies in an experiment's store.

    Args:
        client: MLflow.
        experiment_id: The experiment.
        known: The ids of its logged models. Of what else is there more is asked.

    Raises:
        RecordError: MLflow, or the store, refused or could not be reached.
        StorageError: The disk refused.
    """
    location = store_listing.models_location(client, experiment_id)
    directory = artifacts.local_directory(location)
    if directory is not None:
        found = list(_local(directory))
    else:
        ids = store_listing.names(location)
        found = [_remote(f"{location}/{id_}/artifacts", id_) for id_ in ids if _is_id(id_)]
    if all(folder.id in known for folder in found):
        return found
    runs = store_listing.runs_by_output(client, experiment_id)
    examined = (each if each.id in known else _examined(client, each, runs) for each in found)
    return [folder for folder in examined if folder is not None]


def _is_id(name: str) -> bool:
    return _MODEL_ID.fullmatch(name) is not None


def _local(models: Path) -> Iterator[Folder]:
    try:
        with os.scandir(models) as entries:
            names = [each.name for each in entries if _is_id(each.name) and each.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"{models}: can't be listed: {error.strerror}.") from error
    for name in sorted(names):
        directory = models / name / "artifacts"
        changed_at, sizes = _measured(directory)
        yield Folder(name, str(directory), changed_at, sizes)


def _measured(directory: Path) -> tuple[float, dict[str, int]]:
    """Return when the newest file below a directory was written, and the sizes of all."""
    changed_at, sizes = 0.0, {}
    for root, _, files in os.walk(directory.parent):
        for name in [".", *files]:
            path = Path(root, name)
            try:
                found = path.lstat()
            except OSError:  # it is being removed at this moment
                continue
            changed_at = max(changed_at, found.st_mtime)
            if name != ".":
                sizes[os.path.relpath(path, directory).replace(os.sep, "/")] = found.st_size
    return changed_at, sizes


def _remote(uri: str, id_: str) -> Folder:
    return Folder(id_, uri, 0.0, None)


def _examined(client: Client, folder: Folder, runs: dict[str, str]) -> Folder | None:
    """Return what can be told of a folder that belongs to no logged model; None if it is empty."""
    there = store_listing.names(folder.artifact_uri) if folder.sizes is None else {*folder.sizes}
    if not there and folder.sizes is None:
        return None  # stores of files keep folders that have nothing in them
    manifest = _read(folder, MANIFEST, there) or _read(folder, REMOVED, there) or {}
    run_id = runs.get(folder.id) or str(manifest.get("run_id") or "")
    is_ours = bool(manifest) or _has_our_flavor(folder, there) or _is_half_written(there)
    is_known = is_ours and (folder.id in runs or store_listing.has_run(client, run_id))
    created_at: Any = manifest.get("created_at")
    changed_at = folder.changed_at
    if folder.sizes is None:
        is_told = isinstance(created_at, int)
        changed_at = created_at / 1000 if is_told else store_listing.run_end(client, run_id)
    return Folder(
        folder.id,
        folder.artifact_uri,
        changed_at,
        folder.sizes,
        is_known,
        run_id,
        str(manifest.get("name") or ""),
    )


def _is_half_written(there: Collection[str]) -> bool:
    """Return whether it is what a save leaves that did not come to its end."""
    is_half = any(name.endswith((PARTIAL, ".safetensors")) for name in there)
    return is_half and _MLMODEL not in there


def _read(folder: Folder, name: str, there: Collection[str]) -> dict[str, Any] | None:
    """Return a small JSON file of a folder, or None if there is none."""
    try:
        found = json.loads(_bytes(folder, name, there) or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _has_our_flavor(folder: Folder, there: Collection[str]) -> bool:
    return f"loader_module: {LOADER}".encode() in (_bytes(folder, _MLMODEL, there) or b"")


def _bytes(folder: Folder, name: str, there: Collection[str]) -> bytes | None:
    if name not in there:
        return None
    if folder.sizes is not None:
        path = Path(folder.artifact_uri, name)
        try:
            return path.read_bytes() if folder.sizes.get(name, _TOO_LARGE) < _TOO_LARGE else None
        except OSError:
            return None
    with tempfile.TemporaryDirectory() as temporary, mlflow_bar.hidden():
        try:
            return neighbours.download_file(folder.artifact_uri, name, Path(temporary)).read_bytes()
        except (NotFoundError, RecordError):
            return None
