"""MLflow is asked with the credentials of the caller, and with no others."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import (
    NotAuthenticatedError,
    NotFoundError,
    RecordError,
    RecordUnreachableError,
    TrackerError,
)
from tracker.record import on_behalf
from tracker.record.on_behalf import Caller, ask
from tracker.record.permissions import readable_experiments, user_name


class Answering(http.server.BaseHTTPRequestHandler):
    """Stands for MLflow where a real one can't be made to answer like that."""

    seen: list[dict[str, Any]]
    answers: list[tuple[int, dict[str, str], bytes]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.append(
            {"path": self.path, "headers": dict(self.headers), "body": self.rfile.read(length)}
        )
        status, headers, body = self.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Keep silent."""


@pytest.fixture
def mlflow() -> Iterator[tuple[type[Answering], str]]:
    handler = type("Handler", (Answering,), {"seen": [], "answers": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def says(content: object, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    return status, {"Set-Cookie": "session=of-the-last-one"}, json.dumps(content).encode()


def test_the_caller_s_header_is_sent_and_nothing_of_ours(
    mlflow: tuple[type[Answering], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, uri = mlflow
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login service password of-the-service\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "service")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-the-service")
    handler.answers = [says({}), says({}), says({})]
    for header in ("Basic YTpi", None, "Bearer x"):
        ask(Caller(uri, header), "experiments/search", body={})
    assert [each["headers"].get("Authorization") for each in handler.seen] == [
        "Basic YTpi",
        None,
        "Bearer x",
    ]
    assert not any("Cookie" in each["headers"] for each in handler.seen)


def test_a_redirection_is_not_followed(mlflow: tuple[type[Answering], str]) -> None:
    handler, uri = mlflow
    handler.answers = [(302, {"Location": f"{uri}/elsewhere"}, b"")]
    with pytest.raises(RecordError, match="302"):
        ask(Caller(uri, "Basic YTpi"), "users/current")
    assert len(handler.seen) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says({}, 401), NotAuthenticatedError),
        (says({}, 403), RecordError),
        (says({}, 404), NotFoundError),
        (says({}, 429), RecordUnreachableError),
        (says({}, 500), RecordUnreachableError),
        (says({}, 503), RecordUnreachableError),
        ((200, {}, b"<html>"), RecordError),
    ],
)
def test_whatever_else_mlflow_answers_is_an_error(
    mlflow: tuple[type[Answering], str],
    answer: tuple[int, dict[str, str], bytes],
    error: type[TrackerError],
) -> None:
    handler, uri = mlflow
    handler.answers = [answer]
    with pytest.raises(error):
        readable_experiments(Caller(uri, None))


def test_nobody_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_behalf, "_TIMEOUT", (0.2, 0.2))
    with pytest.raises(RecordUnreachableError):
        ask(Caller("http://127.0.0.1:1", None), "users/current")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RecordUnreachableError):
        ask(Caller(f"http://127.0.0.1:{silent.getsockname()[1]}", None), "users/current")


def test_all_pages_are_read(mlflow: tuple[type[Answering], str]) -> None:
    handler, uri = mlflow
    handler.answers = [
        says({"experiments": [{"experiment_id": "1"}], "next_page_token": "next"}),
        says({"next_page_token": "last"}),
        says({"experiments": [{"experiment_id": "2"}]}),
    ]
    assert readable_experiments(Caller(uri, None)) == {"1", "2"}
    asked = [json.loads(each["body"]).get("page_token") for each in handler.seen]
    assert asked == [None, "next", "last"]


def test_a_server_without_users_knows_no_name(mlflow: tuple[type[Answering], str]) -> None:
    handler, uri = mlflow
    handler.answers = [says({}, 404), says({"user": {"username": "ada"}})]
    assert user_name(Caller(uri, None)) is None
    assert user_name(Caller(uri, "Basic YTpi")) == "ada"
