from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
import sqlalchemy.exc
from botocore.exceptions import EndpointConnectionError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from tracker import settings
from tracker.errors import (
    InvalidArgumentError,
    NotFoundError,
    RecordError,
    RecordUnreachableError,
)
from tracker.record.boundary import (
    ask_server,
    check_reachable,
    connect,
    is_unreachable,
    mlflow_errors,
    tracking_uri,
)

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (MlflowException("no"), RecordError),
        (MlflowException("no", error_code=RESOURCE_DOES_NOT_EXIST), NotFoundError),
        (ConnectionError("no"), RecordUnreachableError),
        (TypeError("no"), RecordError),
    ],
)
def test_what_mlflow_raises_becomes_ours_and_travels_as_the_cause(
    foreign: Exception, kind: type[Exception]
) -> None:
    with (
        pytest.raises(kind, match="asking for the moon") as caught,
        mlflow_errors("asking for the moon"),
    ):
        raise foreign
    assert caught.value.__cause__ is foreign
    assert type(caught.value) is kind


def test_our_own_errors_pass() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^mine$"), mlflow_errors("anything"):
        raise InvalidArgumentError("mine")


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), mlflow_errors("anything"):
        raise KeyboardInterrupt


def test_an_unreachable_server_is_named_without_its_password() -> None:
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    told = "API request to http://ada:secret@127.0.0.1:9/api/2.0 failed"
    for foreign in (ConnectionError(told), MlflowException(told)):
        with pytest.raises(RecordError) as caught, mlflow_errors("logging"):
            raise foreign
        assert "http://ada:***@127.0.0.1:9" in str(caught.value)
        assert "secret" not in str(caught.value)


def test_an_error_names_the_store_that_was_used_not_the_one_in_force_by_now() -> None:
    used = connect("http://ada:secret@127.0.0.1:9").tracking_uri
    mlflow.set_tracking_uri("http://another:9")
    with pytest.raises(RecordError) as caught, mlflow_errors("logging", used):
        raise ConnectionError(f"{used} failed")
    assert str(caught.value).count("http://ada:***@127.0.0.1:9") == 2
    assert "another" not in str(caught.value)


def test_a_uri_set_by_the_script_is_seen_by_mlflow_and_by_settings(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    mlflow.set_tracking_uri(uri)
    assert tracking_uri() == settings.tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == uri


def test_without_any_setting_mlflow_means_the_file_that_settings_say(workplace: Path) -> None:
    assert settings.tracking_uri() == "sqlite:///mlflow.db"
    assert tracking_uri().endswith("mlflow.db")
    assert Path(tracking_uri().removeprefix("sqlite:///")).absolute() == workplace / "mlflow.db"


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"status {status}", response=response)


def wrapped_by_mlflow(error: Exception) -> MlflowException:
    """Return an error as MLflow's client makes it of one of requests: by its context alone."""
    try:
        try:
            raise error
        except type(error):
            raise MlflowException("API request failed")  # noqa: B904 - it is what MLflow does
    except MlflowException as wrapped:
        return wrapped


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        socket.gaierror("no such name"),
        TimeoutError("timed out"),
        requests.ConnectionError("refused"),
        requests.ReadTimeout("timed out"),
        requests.exceptions.RetryError("too many 503 error responses"),
        answered(429),
        answered(502),
        RestException({"error_code": "INTERNAL_ERROR", "message": "a bug"}),
        RestException({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slowly"}),
        MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE),
        wrapped_by_mlflow(requests.ConnectionError("refused")),
        sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("gone")),
        EndpointConnectionError(endpoint_url="http://minio"),
    ],
    ids=repr,
)
def test_the_same_may_succeed_later(error: Exception) -> None:
    assert is_unreachable(error)


@pytest.mark.parametrize(
    "error",
    [
        answered(403),
        answered(413),
        RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}),
        RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}),
        MlflowException("no"),
        wrapped_by_mlflow(ValueError("no")),
        TypeError("no"),
        PermissionError("no"),
    ],
    ids=repr,
)
def test_an_answer_stays_an_answer(error: Exception) -> None:
    assert not is_unreachable(error)


@pytest.fixture
def server() -> Iterator[type[http.server.BaseHTTPRequestHandler]]:
    """A web server whose handler answers with its ``status``; its ``uri`` says where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        status, uri, asked = 200, "", 0

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.end_headers()

        def do_POST(self) -> None:
            type(self).asked += 1
            self.do_GET()
            told = '{"password": "%s"}' if self.status == 200 else "nothing for %s"
            self.wfile.write((told % self.headers["Authorization"]).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Handler.uri = f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield Handler
        running.shutdown()


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_whoever_answers_can_be_reached(server: Any, status: int) -> None:
    server.status = status
    check_reachable(server.uri)


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_proxy_with_nobody_behind_it_can_not(server: Any, status: int) -> None:
    server.status = status
    with pytest.raises(RecordUnreachableError, match=f"status {status}"):
        check_reachable(server.uri)


def test_a_server_is_asked_as_mlflow_does(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert ask_server(server.uri, "/api/2.0/any", {}) == {"password": "Basic YWRhOnNlY3JldA=="}


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_server_is_asked_once(server: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    server.status = status
    with pytest.raises(RecordUnreachableError, match=f"status {status}"):
        ask_server(server.uri, "/api/2.0/any", {})
    assert server.asked == 1


def test_what_a_server_refuses_is_told(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    server.status = 403
    with pytest.raises(RecordError, match="403") as caught:
        ask_server(server.uri, "/api/2.0/any", {})
    assert not isinstance(caught.value, RecordUnreachableError)


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_where_nobody_listens_is_known_within_seconds(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(RecordUnreachableError, match=f"{scheme.split('+')[0]}.*127.0.0.1"):
            check_reachable(f"{scheme}://ada@127.0.0.1:{unused.getsockname()[1]}/mlflow")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "postgresql:///mlflow?host=/var/run/postgresql",
        "postgresql://%2Fvar%2Frun/mlflow",
        "postgresql://first:5432,second:5432/mlflow",
        "databricks",
    ],
)
def test_what_is_at_no_single_address_is_left_to_mlflow(uri: str) -> None:
    check_reachable(uri)
