"""What a checkpoint consists of, read from its manifest within bounded time and size.

The service reads it by its own account: whether the viewer may see the checkpoint was asked before.
A store that does not answer costs a page some seconds and never keeps the others waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass

from tracker.errors import FormatError, NotFoundError, TrackerError
from tracker.format import MANIFEST
from tracker.format.manifest import Manifest
from tracker.loading.fetch import fetch
from tracker.record import artifacts
from tracker.server.tree import Tree, make_tree
from tracker.types import CheckpointRecord, FileElsewhere, Json

SECONDS = 6.0
LARGEST_MANIFEST = 64_000_000
_AT_ONCE = 4
_ARCHITECTURE_UNKNOWN = (
    "No description of the module tree was stored; the weights load into an instance of the model."
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a manifest tells.

    Attributes:
        tree: The architecture, or None.
        no_tree: Why there is none, in words; else empty.
        files: The checkpoint's own files with their bytes, the manifest too, the largest first.
        elsewhere: Files of earlier checkpoints of the run that it refers to.
        tensors: How many tensors it has by group: ``model``, ``training``.
        provenance: Where and with what it was made, as pairs of a name and a text.
        packages: Versions of packages by name.
    """

    tree: Tree | None
    no_tree: str
    files: tuple[tuple[str, int], ...]
    elsewhere: tuple[FileElsewhere, ...]
    tensors: Mapping[str, int]
    provenance: tuple[tuple[str, str], ...]
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a manifest can't be read at the moment.

    Attributes:
        gone: Whether the files are gone, so that trying again is no use.
        message: What happened, for people.
    """

    gone: bool
    message: str


class Reader:
    """Reads manifests, a few at a time."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def read(self, record: CheckpointRecord) -> Contents | Unavailable:
        """Return what a checkpoint consists of, or why that can't be said now."""
        if not self._free.acquire(blocking=False):
            return Unavailable(
                False, "The artifact store is slow: other pages wait for it already."
            )
        future: Future[Contents] = Future()
        # Not one of a pool, whose threads a process waits for at its end.
        threading.Thread(target=self._run, args=(future, record), daemon=True).start()
        try:
            return future.result(SECONDS)
        except TimeoutError:
            return Unavailable(
                False, f"The artifact store did not answer within {SECONDS:.0f} seconds."
            )
        except NotFoundError:
            return Unavailable(True, "The files were deleted or moved, or lie on another machine.")
        except FormatError as error:
            return Unavailable(True, str(error))
        except TrackerError as error:
            return Unavailable(False, str(error))

    def _run(self, future: Future[Contents], record: CheckpointRecord) -> None:
        try:
            future.set_result(_read(record))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)
        finally:
            self._free.release()


def _read(record: CheckpointRecord) -> Contents:
    directory = artifacts.local_directory(record.artifact_uri)
    if directory is not None:
        _check_size((directory / MANIFEST).stat().st_size if directory.is_dir() else 0)
    stored = fetch(record, ())
    return contents_of(stored.manifest, (stored.directory / MANIFEST).stat().st_size)


def _check_size(size: int) -> None:
    if size > LARGEST_MANIFEST:
        raise FormatError(
            f"Its {MANIFEST} has {size:,} bytes; pages show those up to {LARGEST_MANIFEST:,}."
        )


def contents_of(manifest: Manifest, size: int) -> Contents:
    """Return what a manifest of some bytes tells."""
    tree, no_tree = None, _ARCHITECTURE_UNKNOWN
    if manifest.architecture.structure is not None:
        try:
            tree, no_tree = (
                make_tree(manifest.architecture.structure, manifest.tensors.get("model", {})),
                "",
            )
        except FormatError as error:
            no_tree = str(error)
    files = [(MANIFEST, size), *((name, file.size) for name, file in manifest.files.items())]
    return Contents(
        tree=tree,
        no_tree=no_tree,
        files=tuple(sorted(files, key=lambda file: (-file[1], file[0]))),
        elsewhere=tuple(file for _, file in sorted(manifest.elsewhere.items())),
        tensors={group: len(entries) for group, entries in manifest.tensors.items()},
        provenance=tuple(_provenance(manifest.environment)),
        packages=_texts(manifest.environment.get("packages")),
    )


def _provenance(environment: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return an environment as texts by name; it may be of any later version, or made up."""
    found = [
        (name.capitalize(), str(environment[name]))
        for name in ("host", "platform", "python")
        if isinstance(environment.get(name), str)
    ]
    git = environment.get("git")
    if isinstance(git, dict) and isinstance(git.get("commit"), str):
        changed = " with uncommitted changes" if git.get("dirty") is True else ""
        found.insert(0, ("Commit", f"{git['commit']}{changed}"))
    return found


def _texts(values: Json) -> dict[str, str]:
    if not isinstance(values, dict):
        return {}
    return {name: str(value) for name, value in values.items() if isinstance(value, str)}
