"""Where MLflow's errors become tracker's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from tracker import settings
from tracker.errors import NotFoundError, RecordError, TrackerError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    Client: TypeAlias = MlflowClient


def tracking_uri() -> str:
    """Return MLflow's tracking URI, which a script may have set after the environment was read."""
    import mlflow

    uri: str = mlflow.get_tracking_uri()
    return uri


def connect(uri: str) -> Client:
    """Return MLflow's client for one tracking URI, whatever URI is in force later or elsewhere.

    What the background does must reach the store that was in force when the checkpoint was handed
    over. Nothing is asked of the store yet.
    """
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def mlflow_errors(doing: str, uri: str | None = None) -> Iterator[None]:
    """Turn what MLflow raises into RecordError or NotFoundError.

    Args:
        doing: What was being done, for the message: ``"logging metrics of run 3f…"``.
        uri: The tracking URI that was used; the one in force by default.
    """
    from mlflow.exceptions import MlflowException

    used = uri or tracking_uri()
    try:
        yield
    except TrackerError:
        raise
    except MlflowException as error:
        kind = NotFoundError if error.error_code == "RESOURCE_DOES_NOT_EXIST" else RecordError
        raise kind(f"MLflow refused {doing}: {_without_password(error.message, used)}") from error
    except Exception as error:
        # requests, urllib3, SQLAlchemy and boto3 errors all pass through MLflow unchanged.
        raise RecordError(
            f"MLflow could not be reached for {doing} (tracking URI "
            f"{settings.display_uri(used)}): {type(error).__name__}: "
            f"{_without_password(str(error), used)}"
        ) from error


def _without_password(text: str, uri: str) -> str:
    """Return a message of MLflow's, which may quote the tracking URI, without its password."""
    try:
        password = urlsplit(uri).password
    except ValueError:
        return text
    return text.replace(f":{password}@", ":***@") if password else text
