"""Where the service is, and what a client says when it is not there, or is something else."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import (
    CatalogError,
    InvalidArgumentError,
    NotAuthenticatedError,
    NotFoundError,
    RecordUnreachableError,
    TrackerError,
)
from tracker.service import location, questions
from tracker.service.location import Service

PLACE = {"experiments": None, "run_id": None, "filter": ""}


class Answering(http.server.BaseHTTPRequestHandler):
    """Stands for whatever is at an address."""

    status = 200
    content: bytes = b"{}"
    asked: list[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Keep silent."""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Answering], str]]:
    """What is there, which answers as told, and its address."""
    monkeypatch.setenv("TRACKER_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TRACKER_CATALOG_URI", raising=False)
    handler = type("Handler", (Answering,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ALIVE = json.dumps({"service": "tracker", "status": "ok"}).encode()


def test_it_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_CATALOG_URI", "https://host/tracker/")
    assert location.in_force("sqlite:///mlflow.db") == Service("https://host/tracker")
    monkeypatch.setenv("TRACKER_CATALOG_URI", "postgresql://host/tracker")
    assert location.in_force("http://host") is None


def test_a_database_has_none_beside_it(there: tuple[type[Answering], str]) -> None:
    assert location.in_force("sqlite:///mlflow.db") is None
    assert location.in_force("postgresql://host/mlflow") is None


def test_it_is_found_below_the_mlflow_server(there: tuple[type[Answering], str]) -> None:
    handler, uri = there
    handler.content = ALIVE
    for _ in range(3):
        assert location.in_force(f"{uri}/") == Service(f"{uri}/tracker", uri)
    assert handler.asked == ["/tracker/health"]


@pytest.mark.parametrize(
    ("status", "content"),
    [(404, b"Not found"), (401, b""), (200, b"<html>"), (200, b"{}"), (200, b"[]")],
)
def test_a_plain_mlflow_server_is_asked_once(
    there: tuple[type[Answering], str], status: int, content: bytes
) -> None:
    handler, uri = there
    handler.status, handler.content = status, content
    for _ in range(3):
        assert location.in_force(uri) is None
    assert handler.asked == ["/tracker/health"]


def test_where_nobody_answers_nothing_is_remembered(there: tuple[type[Answering], str]) -> None:
    handler, uri = there
    handler.status = 502
    assert location.in_force(uri) is None
    handler.status, handler.content = 200, ALIVE
    assert location.in_force(uri) is not None


def test_what_was_found_is_looked_for_again_after_minutes(
    there: tuple[type[Answering], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, uri = there
    handler.content = ALIVE
    location.in_force(uri)
    monkeypatch.setattr(location, "_SECONDS_REMEMBERED", 0)
    handler.status = 404
    assert location.in_force(uri) is None
    (file,) = (tmp_path / "services").glob("*.json")
    for broken in ("", "[]", '{"at": "x"}', '{"at": 1e300, "found": true}'):
        file.write_text(broken)
        assert location.in_force(uri) is None


def test_one_that_is_gone_is_forgotten(there: tuple[type[Answering], str]) -> None:
    handler, uri = there
    handler.content = ALIVE
    found = location.in_force(uri)
    assert found is not None
    handler.status, handler.content = 404, b"Not found"
    with pytest.raises(CatalogError, match="does without it"):
        questions.experiments(found)
    assert location.in_force(uri) is None


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        (401, b"", NotAuthenticatedError, "MLFLOW_TRACKING_USERNAME"),
        (404, b"<html>", CatalogError, "as no tracker service would"),
        (200, b"<html>", CatalogError, "as no tracker service would"),
        (200, b"[]", CatalogError, "as no tracker service would"),
        (500, b"", CatalogError, "Try again"),
        (404, b'{"error": "NotFoundError", "message": "this"}', NotFoundError, "^this$"),
        (400, b'{"error": "InvalidArgumentError", "message": "m"}', InvalidArgumentError, "^m$"),
        (503, b'{"error": "RecordUnreachableError", "message": "m"}', RecordUnreachableError, "m"),
        (503, b'{"error": "CatalogError", "message": "log"}', CatalogError, "says: log"),
        (400, b'{"error": "KeyboardInterrupt", "message": "m"}', CatalogError, "status 400"),
    ],
)
def test_what_is_wrong_is_said(
    there: tuple[type[Answering], str],
    status: int,
    content: bytes,
    error: type[TrackerError],
    words: str,
) -> None:
    handler, uri = there
    handler.status, handler.content = status, content
    with pytest.raises(error, match=words):
        questions.top(Service(uri), PLACE, "loss", None, 1)


def test_one_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(CatalogError, match="does not answer") as caught:
        questions.top(Service("http://ada:secret@127.0.0.1:1"), PLACE, "loss", None, 1)
    assert "secret" not in str(caught.value)


def test_a_name_that_no_address_can_hold_is_refused_here() -> None:
    with pytest.raises(InvalidArgumentError, match="too many for a name"):
        questions.by_id(Service("http://127.0.0.1:1"), "m" * 100_000)
