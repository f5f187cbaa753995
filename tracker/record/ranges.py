"""How a range of bytes can be asked for of a file that an MLflow server has: by its public routes.

A server with its artifacts on a disk of its own answers for ranges where it serves files; one with
object storage names, on another route, a presigned URL that does, if it is set up to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlsplit

from tracker.errors import RecordUnreachableError
from tracker.record.boundary import mlflow_errors

if TYPE_CHECKING:
    from requests import Response

    Ask: TypeAlias = Callable[[dict[str, str]], Response]
    """Asks for a file with these headers; the answer's content has not come yet."""

_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 5, 120
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
_SERVER_INFO = "/api/3.0/mlflow/server-info"


def ways(artifact_uri: str, name: str) -> Iterator[Ask]:
    """Yield how a file can be asked for: of the object storage, of the server; none elsewhere.

    Args:
        artifact_uri: Where files are, ``mlflow-artifacts:/…``.
        name: The file's name there.

    Raises:
        RecordUnreachableError: The server could not be reached.
        RecordError: The tracking URI is of no server.
    """
    if not artifact_uri.startswith(("mlflow-artifacts:", "http:", "https:")):
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    with mlflow_errors(f"looking for the server of {artifact_uri}"):
        url: str = get_artifact_repository(artifact_uri).artifact_uri
    server, found, folder = url.partition(_ARTIFACTS)
    if not found:
        return
    file = f"{folder}/{quote(name)}"

    def ask(endpoint: str, headers: dict[str, str] | None = None) -> Response:
        answer: Response = http_request(
            get_default_host_creds(server),  # type: ignore[no-untyped-call]
            endpoint,
            "GET",
            extra_headers=headers,
            max_retries=0,
            raise_on_status=False,
            timeout=(_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER),
            stream=True,
        )
        return answer

    presigned = _presigned(ask, f"{_PRESIGNED}{file}")
    if presigned is not None:
        yield presigned
    yield lambda headers: ask(f"{_ARTIFACTS}{file}", headers)


def _presigned(ask: Callable[[str], Response], endpoint: str) -> Ask | None:
    """Return how to ask the object storage itself, if the server says that clients can."""
    from mlflow.environment_variables import MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD

    chosen = MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD
    with mlflow_errors("asking how files can be downloaded"):
        if chosen.is_set():  # type: ignore[no-untyped-call]
            given = chosen.get()  # type: ignore[no-untyped-call]
        else:
            given = _json(ask(_SERVER_INFO)).get("multipart_downloads_enabled")
        where = _json(ask(endpoint)) if given else {}
    if "url" not in where:
        return None

    def ask_storage(headers: dict[str, str]) -> Response:
        nonlocal where
        answer = _ask_url(where, headers)
        if answer.status_code == 403:  # what was signed is good for some minutes
            answer.close()
            where = _json(ask(endpoint)) or where
            answer = _ask_url(where, headers)
        return answer

    return ask_storage


def _ask_url(where: dict[str, Any], headers: dict[str, str]) -> Response:
    import requests
    from mlflow.environment_variables import MLFLOW_S3_IGNORE_TLS

    try:
        return requests.get(
            where["url"],
            headers={**where.get("headers", {}), **headers},
            timeout=(_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER),
            verify=not MLFLOW_S3_IGNORE_TLS.get(),  # type: ignore[no-untyped-call]
            stream=True,
        )
    except requests.RequestException as error:
        # Its text has the URL, and with that the signature.
        raise RecordUnreachableError(
            f"The object storage {urlsplit(where['url']).netloc} could not be reached: "
            f"{type(error).__name__}."
        ) from None


def _json(answer: Response) -> dict[str, Any]:
    with contextlib.closing(answer):
        try:
            found = answer.json() if answer.status_code == 200 else {}
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}
