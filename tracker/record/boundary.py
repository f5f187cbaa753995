"""Where MLflow's errors become tracker's, and where it is asked whether it can be reached at all.

MLflow's own client tries a refused connection again for minutes. `check_reachable` and
`ask_server` know within seconds.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from tracker import settings
from tracker.errors import NotFoundError, RecordError, RecordUnreachableError, TrackerError
from tracker.forks import kept_out

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    Client: TypeAlias = MlflowClient

_SECONDS_TO_ANSWER = 5
_SECONDS_TO_LIST = 30
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_UNREACHABLE = frozenset(
    {
        *("ConnectionError", "TimeoutError", "gaierror"),
        *("Timeout", "RetryError", "ChunkedEncodingError"),  # requests
        *("ProtocolError", "MaxRetryError"),  # urllib3
        *("HTTPClientError", "ConnectionClosedError"),  # botocore
        *("OperationalError", "InterfaceError"),  # SQLAlchemy
    }
)
"""Names of exceptions, of libraries that MLflow may or may not use, and of their subclasses."""


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
    """Turn what MLflow raises into RecordError, RecordUnreachableError or NotFoundError.

    Meanwhile no other thread forks the process, if MLflow has a SQLite file.

    Args:
        doing: What was being done, for the message: ``"logging metrics of run 3f…"``.
        uri: The tracking URI that was used; the one in force by default.
    """
    used = uri or tracking_uri()
    try:
        with kept_out() if used.startswith("sqlite:") else contextlib.nullcontext():
            yield
    except TrackerError:
        raise
    except Exception as error:
        raise _ours(error, doing, used) from error


def _ours(error: Exception, doing: str, uri: str) -> TrackerError:
    from mlflow.exceptions import MlflowException

    told = _without_password(getattr(error, "message", None) or str(error), uri)
    if is_unreachable(error):
        return RecordUnreachableError(
            f"MLflow could not be reached for {doing} (tracking URI "
            f"{settings.display_uri(uri)}): {type(error).__name__}: {told}"
        )
    if isinstance(error, MlflowException):
        kind = NotFoundError if error.error_code == "RESOURCE_DOES_NOT_EXIST" else RecordError
        return kind(f"MLflow refused {doing}: {told}")
    # requests, urllib3, SQLAlchemy and boto3 errors all pass through MLflow unchanged.
    return RecordError(
        f"MLflow failed at {doing} (tracking URI {settings.display_uri(uri)}): "
        f"{type(error).__name__}: {told}"
    )


def is_unreachable(error: BaseException) -> bool:
    """Return whether an error of MLflow's says that nobody answered, or nobody had the time to.

    The same request may succeed later: no connection, no name, a timeout, 429, 5xx. Whatever else
    is an answer.
    """
    from mlflow.exceptions import MlflowException, RestException

    if isinstance(error, MlflowException):
        if error.error_code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"):
            return True
        if isinstance(error, RestException):
            return int(error.get_http_status_code()) >= 500  # type: ignore[no-untyped-call]
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status == 429
    if any(cls.__name__ in _UNREACHABLE for cls in type(error).__mro__):
        return True
    if isinstance(error, RuntimeError) and "shutdown" in str(error):
        return True  # of this interpreter, which starts no more threads for MLflow
    below = error.__cause__ or error.__context__
    return below is not None and is_unreachable(below)


def check_reachable(uri: str) -> None:
    """Ask whether somebody answers at a tracking URI, within seconds.

    Raises:
        RecordUnreachableError: Nobody does, or a proxy says that nobody is behind it.
    """
    with mlflow_errors("asking whether it answers", uri):
        if uri.startswith(("http://", "https://")):
            _ask_server(uri)
        elif (address := _database_address(uri)) is not None:
            socket.create_connection(address, _SECONDS_TO_ANSWER).close()


def _database_address(uri: str) -> tuple[str, int] | None:
    """Return where a database listens, or None if that is a socket's path or one of several."""
    parts = urlsplit(uri)
    usual_port = _PORTS.get(parts.scheme.split("+")[0])
    if usual_port is None or not parts.hostname or set(",%") & set(parts.netloc.split("@")[-1]):
        return None
    return parts.hostname, parts.port or usual_port


def _ask_server(uri: str) -> None:
    # MLflow asks by means of requests: the same proxies and certificates apply.
    import requests

    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER, allow_redirects=False
        )
    except requests.exceptions.SSLError:
        return  # somebody is there; MLflow has settings for certificates
    _check_status(uri, answer.status_code, answer.reason)


def ask_server(uri: str, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post to an endpoint of MLflow's REST API as its client does, but once, without its retries.

    Args:
        uri: The server, ``http://…`` or ``https://…``.
        endpoint: For example ``/api/2.0/mlflow/experiments/search``.
        body: The question, as JSON.

    Raises:
        RecordUnreachableError: Nobody answers within seconds, or has the time to.
        RecordError: The server refused.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    with mlflow_errors(f"asking {endpoint}", uri):
        answer = http_request(
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            endpoint,
            "POST",
            json=body,
            max_retries=0,
            timeout=(_SECONDS_TO_ANSWER, _SECONDS_TO_LIST),
            raise_on_status=False,
        )
        _check_status(uri, answer.status_code, answer.reason)
        found: dict[str, Any] = verify_rest_response(answer, endpoint).json()
        return found


def _check_status(uri: str, status: int, reason: str) -> None:
    if status >= 500 or status == 429:
        raise RecordUnreachableError(
            f"MLflow could not be reached: {settings.display_uri(uri)} answers with status "
            f"{status} ({reason})."
        )


def _without_password(text: str, uri: str) -> str:
    """Return a message of MLflow's, which may quote the tracking URI, without its password."""
    try:
        password = urlsplit(uri).password
    except ValueError:
        return text
    return text.replace(f":{password}@", ":***@") if password else text
