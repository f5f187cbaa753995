"""Where MLflow's errors become tracker's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from tracker import settings
from tracker.errors import NotFoundError, RecordError, TrackerError


def tracking_uri() -> str:
    """Return MLflow's tracking URI, which a script may have set after the environment was read."""
    import mlflow

    uri: str = mlflow.get_tracking_uri()
    return uri


@contextlib.contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """Turn what MLflow raises into RecordError or NotFoundError.

    Args:
        doing: What was being done, for the message: ``"logging metrics of run 3f…"``.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except TrackerError:
        raise
    except MlflowException as error:
        kind = NotFoundError if error.error_code == "RESOURCE_DOES_NOT_EXIST" else RecordError
        raise kind(f"MLflow refused {doing}: {_without_password(error.message)}") from error
    except Exception as error:
        # requests, urllib3, SQLAlchemy and boto3 errors all pass through MLflow unchanged.
        raise RecordError(
            f"MLflow could not be reached for {doing} (tracking URI "
            f"{settings.display_uri(tracking_uri())}): {type(error).__name__}: "
            f"{_without_password(str(error))}"
        ) from error


def _without_password(text: str) -> str:
    """Return a message of MLflow's, which may quote the tracking URI, without its password."""
    try:
        password = urlsplit(tracking_uri()).password
    except ValueError:
        return text
    return text.replace(f":{password}@", ":***@") if password else text
