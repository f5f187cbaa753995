"""One request to the tracker service: with MLflow's credentials, and its errors as tracker's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tracker import settings
from tracker.errors import (
    CatalogError,
    InvalidArgumentError,
    NotAuthenticatedError,
    RecordError,
    TrackerError,
)
from tracker.service.credentials import authorization, client_certificate
from tracker.service.location import Service, forget
from tracker.service.wire import PREFIX, error_from_json

if TYPE_CHECKING:
    # Imported when a service is asked, not by all who could.
    from requests import PreparedRequest, Response, Session

_TIMEOUT = (5.0, 90.0)
"""Seconds until a connection, and until an answer begins: it may wait for MLflow."""

_LONGEST_IN_ADDRESS = 2_000
"""Characters of a name in an address; servers and proxies bound the whole of it."""


def get(service: Service, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a question in an address; None in a query is left out.

    Raises:
        InvalidArgumentError: A name is longer than any name is.
        TrackerError: See `_answer_of`.
    """
    given = {name: value for name, value in query.items() if value is not None}
    for name, value in given.items():
        longest = max((len(str(text)) for text in _texts(value)), default=0)
        if longest > _LONGEST_IN_ADDRESS:
            raise InvalidArgumentError(
                f"{name}: {longest:,} characters are too many for a name; nothing has one."
            )
    return _answer_of(service, "GET", path, params=given)


def post(service: Service, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a question in a body.

    Raises:
        TrackerError: See `_answer_of`.
    """
    return _answer_of(service, "POST", path, json=dict(question))


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _answer_of(service: Service, method: str, path: str, **question: Any) -> dict[str, Any]:
    """Ask the service.

    Raises:
        NotAuthenticatedError: The service asks for credentials, or does not accept those given.
        CatalogError: It does not answer, or with what no tracker service would say.
        TrackerError: What it says: InvalidArgumentError, NotFoundError, RecordUnreachableError ….
    """
    import requests

    with _session() as session:
        try:
            answer = session.request(
                method,
                f"{service.url}{PREFIX}/{path}",
                timeout=_TIMEOUT,
                verify=settings.server_certificate(),
                cert=client_certificate(),
                auth=_credentials(),
                allow_redirects=False,
                **question,
            )
        except requests.RequestException as error:
            forget(service)
            raise CatalogError(
                f"The tracker service {_shown(service)} does not answer: {type(error).__name__}. "
                "Check that it runs and can be reached from here; `tracker doctor` says what is in "
                f"force.{_how_it_came(service)}"
            ) from error
    return _read(service, answer)


def _session() -> Session:
    """Return a session for one question: one that is kept would be shared with forked children."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    # Questions change nothing, so any may be asked again: after a restart, or if a proxy says so.
    again = Retry(
        total=2,
        backoff_factor=0.3,
        status_forcelist=(502, 504),
        allowed_methods=None,
        raise_on_status=False,
        respect_retry_after_header=False,  # while MLflow is away, people want to know at once
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))
    return session


def _credentials() -> Callable[[PreparedRequest], PreparedRequest] | None:
    """Return what puts the credentials into a request; None leaves that to the address."""
    header = authorization()
    if header is None:
        return None

    def authorized(request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = header
        return request

    return authorized


def _read(service: Service, answer: Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if answer.status_code == 200 and isinstance(content, dict):
        return content
    if answer.status_code == 401:
        what = "the credentials in force" if authorization() else "a request without credentials"
        raise NotAuthenticatedError(
            f"The tracker service {_shown(service)} shows what MLflow lets you see, and {what} "
            "MLflow does not accept. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, to those of your MLflow account."
        )
    told = error_from_json(content)
    if isinstance(told, RecordError | CatalogError):
        raise type(told)(f"The tracker service {_shown(service)} says: {told}")
    if told is not None:
        raise told
    forget(service)
    raise _strange(service, answer)


def _strange(service: Service, answer: Response) -> TrackerError:
    what = f"{_shown(service)} answered with status {answer.status_code} ({answer.reason})"
    if answer.status_code >= 500 or answer.status_code == 429:
        return CatalogError(
            f"{what}: the tracker service, or a proxy before it, has no answer now. Try again in a "
            f"few seconds.{_how_it_came(service)}"
        )
    return CatalogError(
        f"{what}, as no tracker service would. Is the address right? It is that of `tracker "
        f"serve`, for example http://host:5000/tracker.{_how_it_came(service)}"
    )


def _shown(service: Service) -> str:
    return settings.display_uri(service.url)


def _how_it_came(service: Service) -> str:
    if service.beside is None:
        return " (It is named by TRACKER_CATALOG_URI.)"
    return " (It was found beside MLflow before; if it is gone, the next question does without it.)"
