"""Where checkpoints are imported from: folders and files of this machine, and runs in MLflow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname
from typing import TYPE_CHECKING

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.importing.discover import Found, find
from tracker.importing.safe_load import is_regular
from tracker.record import artifacts

if TYPE_CHECKING:
    from tracker.record.boundary import Client

_RUNS = "runs:/"


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A folder of this machine, or one file in it.

    Attributes:
        root: The folder.
        only: The name of the one file that is meant, or "".
        shown: The folder as the user wrote it.
    """

    root: Path
    only: str = ""
    shown: str = ""
    run_id: str | None = None

    def checkpoints(self) -> list[Found]:
        """Return the checkpoints below the folder; a file that was named is one, whatever its name.

        Links to folders are not followed, so that there is an end.

        Raises:
            NotFoundError: A folder can't be read.
        """
        if self.only:
            beside = [n for n in os.listdir(self.root) if n.endswith("checkpoint_metrics.json")]
            found = [each for each in find([self.only, *beside]) if each.files[0] == self.only]
            return found or [Found(self.only, (self.only,))]
        return find(_files_below(self.root))

    def label(self, path: str) -> str:
        """Return the path of a file as the user would write it."""
        return os.path.normpath(os.path.join(self.shown, path))

    def origin(self, path: str) -> str:
        """Return where a file is, whatever the working directory."""
        return self.label(path) if self.run_id else os.path.normpath(self.root / path)

    @contextmanager
    def opened(self, found: Found) -> Iterator[Path]:
        """Yield the folder."""
        yield self.root


@dataclass(frozen=True, slots=True)
class RunPlace:
    """The artifacts of a run in a remote store: each checkpoint's files come when it is read."""

    client: Client
    run_id: str
    below: str

    def checkpoints(self) -> list[Found]:
        """Return the checkpoints among the artifacts.

        Raises:
            NotFoundError: There is no such run.
            RecordError: MLflow refused or could not be reached.
        """
        from tracker.record import imported_runs

        paths = imported_runs.artifact_paths(self.client, self.run_id, self.below)
        if paths or not self.below:
            return find(paths)
        beside = imported_runs.artifact_paths(self.client, self.run_id, dirname(self.below))
        return [each for each in find(beside) if each.name == self.below]

    def label(self, path: str) -> str:
        """Return the artifact's URI."""
        return f"{_RUNS}{self.run_id}/{path}"

    def origin(self, path: str) -> str:
        """Return the artifact's URI."""
        return self.label(path)

    @contextmanager
    def opened(self, found: Found) -> Iterator[Path]:
        """Yield a folder that has the files, and goes when the block ends."""
        from tracker.record import imported_runs

        folder = Path(tempfile.mkdtemp(prefix="tracker-import-"))
        try:
            for path in (*found.files, *([found.metrics] if found.metrics else [])):
                imported_runs.fetch_artifact(self.client, self.run_id, path, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def places(
    sources: Sequence[str | Path], connected: Callable[[], Client]
) -> list[LocalPlace | RunPlace]:
    """Return where the checkpoints are that sources name.

    Args:
        sources: Paths, ``runs:/RUN_ID``, or ``runs:/RUN_ID/PATH``.
        connected: Returns MLflow; called for runs alone.

    Raises:
        InvalidArgumentError: A source is neither.
        NotFoundError: There is nothing.
    """
    return [_place(source, connected) for source in sources]


def _place(source: object, connected: Callable[[], Client]) -> LocalPlace | RunPlace:
    if isinstance(source, str) and source.startswith(_RUNS):
        return _of_run(source, connected())
    if not isinstance(source, (str, Path)) or not str(source) or "\0" in str(source):
        raise InvalidArgumentError(
            f"{source!r}: expected the path of a file or folder, or runs:/RUN_ID."
        )
    if (isinstance(source, str) and "://" in source) or str(source).startswith("models:/"):
        raise InvalidArgumentError(
            f"{source!r}: expected the path of a file or folder, or runs:/RUN_ID; what is "
            "elsewhere has to be downloaded first."
        )
    path = Path(source).expanduser()
    if path.is_dir():
        return LocalPlace(path.resolve(), shown=str(source))
    if not os.path.lexists(path):
        raise NotFoundError(f"{source}: there is no such file or folder.")
    return LocalPlace(path.parent.resolve(), path.name, str(path.parent))


def _of_run(source: str, client: Client) -> LocalPlace | RunPlace:
    from tracker.record import imported_runs

    run_id, _, below = source.removeprefix(_RUNS).strip("/").partition("/")
    if not run_id or ".." in below.split("/"):
        raise InvalidArgumentError(f"{source!r}: expected runs:/RUN_ID or runs:/RUN_ID/PATH.")
    local = artifacts.local_directory(imported_runs.artifact_uri(client, run_id))
    if local is None:
        return RunPlace(client, run_id, below)
    path, shown = local / below, f"{_RUNS}{run_id}/{below}".rstrip("/")
    if is_regular(path):
        return LocalPlace(path.parent, path.name, shown.rpartition("/")[0], run_id)
    if not path.is_dir():
        raise NotFoundError(f"{source}: the run has no such artifacts.")
    return LocalPlace(path, shown=shown, run_id=run_id)


def _files_below(root: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise NotFoundError(f"{error.filename}: can't be read: {error.strerror}.") from error

    for folder, _, names in os.walk(root, onerror=refuse):
        relative = Path(folder).relative_to(root)
        for name in names:
            if is_regular(Path(folder, name)):
                yield (relative / name).as_posix()
