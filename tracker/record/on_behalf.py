"""Asks MLflow's REST API with the credentials of somebody else: those of whoever asks us.

Never with our own: what MLflow would let the service see says nothing about its caller. One try,
seconds to answer, no redirects (which would carry the credentials elsewhere), and neither cookies
nor ``~/.netrc``, which requests would prefer to the caller's header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from tracker import settings
from tracker.errors import (
    NotAuthenticatedError,
    NotFoundError,
    RecordError,
    RecordUnreachableError,
)

_TIMEOUT = (3.05, 8)
"""Seconds until a connection, and until an answer begins."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and whom.

    Attributes:
        tracking_uri: The MLflow server, ``http://…`` or ``https://…``.
        authorization: The ``Authorization`` header of the caller's request, or None.
    """

    tracking_uri: str
    authorization: str | None = field(repr=False)

    @property
    def is_of_server(self) -> bool:
        """Whether there is a server to ask; a database knows no users."""
        return self.tracking_uri.startswith(("http://", "https://"))


def ask(
    caller: Caller,
    endpoint: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    forbidden: type[RecordError | NotFoundError] = RecordError,
) -> dict[str, Any]:
    """Return what MLflow answers to the caller.

    Args:
        caller: Who asks.
        endpoint: For example ``experiments/search``; all are below ``/api/2.0/mlflow/``.
        query: The parameters of a GET.
        body: The JSON of a POST; None: it is a GET.
        forbidden: What to raise where MLflow says that the caller may not.

    Raises:
        NotAuthenticatedError: MLflow does not know the caller.
        NotFoundError: There is no such thing, or no such endpoint.
        RecordUnreachableError: Nobody answers within seconds, or has the time to.
        RecordError: MLflow refused, or answered something that is no JSON.
    """
    url = f"{caller.tracking_uri.rstrip('/')}/api/2.0/mlflow/{endpoint}"
    try:
        answer = requests.request(
            "GET" if body is None else "POST",
            url,
            params=query,
            json=body,
            auth=_header(caller.authorization),
            verify=settings.server_certificate(),
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise RecordUnreachableError(f"MLflow does not answer: {type(error).__name__}.") from error
    _check(answer, endpoint, forbidden)
    try:
        found = answer.json()
    except requests.JSONDecodeError as error:
        raise RecordError(
            f"MLflow answered to {endpoint} with something that is no JSON."
        ) from error
    return found if isinstance(found, dict) else {}


def pages(caller: Caller, endpoint: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the answers of an endpoint that answers page by page to a POST."""
    token = ""
    while True:
        page = ask(caller, endpoint, body={**body, "page_token": token} if token else body)
        yield page
        token = page.get("next_page_token") or ""
        if not token:
            return


def all_of(
    caller: Caller, endpoint: str, query: Mapping[str, str], name: str
) -> Iterator[dict[str, Any]]:
    """Yield the elements of a list that an endpoint answers page by page to a GET."""
    token: dict[str, str] = {}
    while True:
        page = ask(caller, endpoint, query={**query, **token})
        yield from page.get(name) or ()
        if not page.get("next_page_token"):
            return
        token = {"page_token": page["next_page_token"]}


def _header(authorization: str | None) -> Callable[[requests.PreparedRequest], Any]:
    def as_the_caller(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        if authorization is not None:
            request.headers["Authorization"] = authorization
        return request

    return as_the_caller


def _check(
    answer: requests.Response, endpoint: str, forbidden: type[RecordError | NotFoundError]
) -> None:
    status = answer.status_code
    if status == 401:
        raise NotAuthenticatedError(
            "MLflow does not accept the user name and password, or the token, of this request."
        )
    if status >= 500 or status == 429:
        raise RecordUnreachableError(f"MLflow answers with status {status}.")
    if status == 404:
        raise NotFoundError(f"MLflow knows nothing of that ({endpoint}).")
    if status == 403:
        raise forbidden(f"MLflow does not let the caller ask {endpoint}.")
    if status != 200:
        raise RecordError(f"MLflow refused {endpoint} with status {status}.")
