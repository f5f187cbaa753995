"""Files of other checkpoints in the artifact store that a checkpoint is in."""

from __future__ import annotations

import re
from pathlib import Path

from tracker.errors import NotFoundError, RecordError, RecordUnreachableError
from tracker.record.boundary import mlflow_errors

_LAYOUT = re.compile(r"(?P<models>.*/models/)[^/]+/artifacts/?")


def beside(artifact_uri: str, model_id: str) -> str | None:
    """Return where MLflow puts a logged model's files, from where another's of the run are.

    Example:
        >>> beside("s3://bucket/1/models/m-2/artifacts", "m-1")
        's3://bucket/1/models/m-1/artifacts'
    """
    match = _LAYOUT.fullmatch(artifact_uri)
    return f"{match['models']}{model_id}/artifacts" if match else None


def download_file(
    artifact_uri: str, name: str, directory: Path, tracking_uri: str | None = None
) -> Path:
    """Download one file under ``artifact_uri`` into ``directory`` and return its path.

    Args:
        artifact_uri: Where it is.
        name: Its name there.
        directory: Where it goes.
        tracking_uri: The tracking store whose server may have to be asked for it; the one in force
            by default.

    Raises:
        NotFoundError: It is not there.
        RecordError: The store refused.
        RecordUnreachableError: The store could not be reached.
    """
    import mlflow.artifacts

    uri = f"{artifact_uri.rstrip('/')}/{name}"
    try:
        with mlflow_errors(f"downloading {uri}"):
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(directory), tracking_uri=tracking_uri
            )
            return Path(path)
    except RecordUnreachableError:
        raise
    except (NotFoundError, RecordError) as error:
        # Every kind of store has an error of its own for a file that is missing.
        if isinstance(error, RecordError) and _is_there(artifact_uri, name):
            raise
        raise NotFoundError(f"There is no file {uri}: it was deleted or moved.") from error


def _is_there(artifact_uri: str, name: str) -> bool:
    import mlflow.artifacts

    folder, _, file = name.rpartition("/")
    uri = f"{artifact_uri.rstrip('/')}/{folder}"
    with mlflow_errors(f"listing {uri}"):
        found = mlflow.artifacts.list_artifacts(artifact_uri=uri)
    return any(entry.path.rpartition("/")[2] == file for entry in found)
