"""The files of a checkpoint in MLflow's artifact store: local ones in place, others fetched."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tracker.errors import NotFoundError, StorageError
from tracker.record.boundary import mlflow_errors

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:")


def local_directory(artifact_uri: str) -> Path | None:
    """Return the directory that a local artifact URI means, or None for a remote store.

    Example:
        >>> local_directory("file:///data/mlruns/1").as_posix()
        '/data/mlruns/1'
        >>> local_directory("s3://bucket/1") is None
        True
    """
    if artifact_uri.startswith("file:"):
        return Path(url2pathname(urlsplit(artifact_uri).path))
    # One letter before the colon is a Windows drive.
    return None if _SCHEME.match(artifact_uri) else Path(artifact_uri)


def download(artifact_uri: str, directory: Path) -> None:
    """Download all files under ``artifact_uri`` into ``directory``.

    Raises:
        NotFoundError: There is nothing.
        RecordError: The store refused or could not be reached.
        StorageError: The directory can't be written.
    """
    import mlflow.artifacts

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory} can't be created: {error}") from error
    with mlflow_errors(f"downloading {artifact_uri}"):
        # Without the slash MLflow would put a folder named like the last part of the URI there.
        source = artifact_uri.rstrip("/") + "/"
        mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(directory))
    if not any(directory.iterdir()):
        raise NotFoundError(f"There are no files under {artifact_uri}: they were deleted or moved.")
