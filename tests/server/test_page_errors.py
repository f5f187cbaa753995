"""Errors: a page for a browser, JSON for everything else, with the same status and headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tracker.catalog import Engine
from tracker.errors import NotAuthenticatedError, RecordUnreachableError, TrackerError
from tracker.server.app import create_app

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


ClientThatMeets = Callable[[Exception], TestClient]


@pytest.fixture
def client_that_meets(engine: Engine) -> ClientThatMeets:
    """Makes a client of a service where the question who asks ends with an error."""
    return lambda error: _client(engine, error)


def _client(engine: Engine, error: Exception) -> TestClient:

    def look(authorization: str | None) -> None:
        raise error

    app = create_app("sqlite:///mlflow.db", engine, allowed_hosts=["testserver"])
    app.state.look = look
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status", "told", "header"),
    [
        (NotAuthenticatedError("Who are you?"), 401, "Sign in with", "www-authenticate"),
        (RecordUnreachableError("http://backstage:5000"), 503, "Nothing is lost", "retry-after"),
        (TrackerError("SELECT secret"), 503, "Reload this page", "retry-after"),
    ],
)
def test_a_browser_gets_a_page_that_says_what_to_do(
    client_that_meets: ClientThatMeets, error: TrackerError, status: int, told: str, header: str
) -> None:
    client = client_that_meets(error)

    page, answer = client.get("/", headers=HTML), client.get("/")

    assert (page.status_code, answer.status_code) == (status, status)
    assert page.headers["content-type"].startswith("text/html")
    assert told in page.text
    assert "backstage" not in page.text
    assert "SELECT" not in page.text
    assert page.headers[header] == answer.headers[header]
    assert set(answer.json()) == {"error", "message"}


def test_the_api_answers_with_json_whoever_asks(
    client_that_meets: ClientThatMeets,
) -> None:
    client = client_that_meets(NotAuthenticatedError("Who are you?"))

    answer = client.get("/api/1/experiments", headers=HTML)

    assert answer.status_code == 401
    assert answer.json()["message"] == "Who are you?"


def test_an_address_that_cant_be_read_and_a_method_that_changes_are_refused_with_a_page(
    client_that_meets: ClientThatMeets,
) -> None:
    client = client_that_meets(RecordUnreachableError("not asked"))

    assert "There is no such page" in client.get("/nothing", headers=HTML).text
    posted = client.post("/", headers=HTML)
    assert posted.status_code == 405
    assert "Nothing can be changed here" in posted.text


def test_a_defect_is_told_without_what_it_was(
    client_that_meets: ClientThatMeets,
) -> None:
    page = client_that_meets(ZeroDivisionError("secret")).get("/", headers=HTML)

    assert page.status_code == 500
    assert "Something went wrong" in page.text
    assert "secret" not in page.text
    assert "Traceback" not in page.text
