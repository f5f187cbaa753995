"""The application: its description, held to by Schemathesis, its addresses, its headers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.catalog.examples import record
from tracker import catalog
from tracker.catalog import Engine
from tracker.server.app import create_app
from tracker.server.guards import ANSWER_HEADERS


def filled(file: Path) -> Engine:
    engine = catalog.open_for_logging(f"sqlite:///{file}")
    records = [record(n, metrics={"val_loss": 1 / n, "nan": math.nan}) for n in range(1, 6)]
    catalog.put_all(engine, [*records, record(6, metrics={"val_loss": -math.inf}, epoch=2**62)])
    return engine


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """A service without users, over six checkpoints; it has no MLflow to ask."""
    file = tmp_path_factory.mktemp("app") / "mlflow.db"
    return create_app(f"sqlite:///{file}", filled(file), allowed_hosts=["*"])


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    return asking(app)


def asking(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_it_answers_as_it_is_described(app: FastAPI) -> None:
    # Questions about registered models go to MLflow, which is another's to test.
    described = schemathesis.openapi.from_asgi("/api/1/openapi.json", app)
    operations = [
        found.ok() for found in described.exclude(path_regex="registered").get_all_operations()
    ]
    assert len(operations) > 15
    for operation in operations:

        @settings(
            max_examples=8,
            deadline=None,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()


@pytest.mark.parametrize("prefix", ["", "/tracker"])
def test_it_answers_at_the_root_and_below_tracker(client: TestClient, prefix: str) -> None:
    assert client.get(f"{prefix}/health").json() == {"service": "tracker", "status": "ok"}
    assert client.get(f"{prefix}/api/1/viewer").json() == {"user": None, "experiments": 1}
    found = client.get(f"{prefix}/api/1/best", params={"metric": "val_loss"}).json()
    assert [each["id"] for each in found["checkpoints"]] == ["m-6"]


def test_the_description_says_whose_credentials_are_wanted(app: FastAPI) -> None:
    described = app.openapi()
    assert set(described["components"]["securitySchemes"]) == {"basic", "bearer"}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path != "/health")


def test_numbers_that_json_lacks_are_texts(client: TestClient) -> None:
    assert client.get("/api/1/checkpoints/m-1").json()["metrics"]["nan"] == "NaN"
    best = client.get("/api/1/checkpoints/m-6").json()
    assert best["metrics"]["val_loss"] == "-Infinity"
    assert best["epoch"] == 2**62


@pytest.mark.parametrize("path", ["/health", "/api/1/search", "/api/1/nothing", "/nothing"])
def test_every_answer_keeps_browsers_from_guessing_framing_and_storing(
    client: TestClient, path: str
) -> None:
    answer = client.get(path)
    for name, value in ANSWER_HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]


def test_what_breaks_is_told_without_what_broke(tmp_path: Path) -> None:
    def break_it() -> None:
        raise ZeroDivisionError("SELECT secret")

    app = create_app("sqlite:///mlflow.db", filled(tmp_path / "mlflow.db"))
    app.state.catch_up = break_it
    answer = asking(app).get("/api/1/search")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text
    assert "SELECT" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_troubles_with_the_database_are_for_the_log(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    app = create_app("sqlite:///mlflow.db", filled(file))
    file.write_text("no database")
    answer = asking(app).get("/api/1/search")
    assert answer.status_code == 503
    assert answer.json()["error"] == "CatalogError"
    assert "mlflow.db" not in answer.text


def test_a_question_in_an_address_is_held_to_the_same(client: TestClient) -> None:
    for query in ("order_by=epoch&" * 101, "max_results=1.5", "max_results=2000", "offset=-1"):
        answer = client.get(f"/api/1/search?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"] == "InvalidArgumentError"


def test_while_mlflow_is_down_nothing_is_shown_and_it_lives(tmp_path: Path) -> None:
    client = asking(create_app("http://127.0.0.1:1", filled(tmp_path / "mirror.db")))
    for path in ("search", "viewer", "checkpoints/m-1", "statistics", "registered-models"):
        answer = client.get(f"/api/1/{path}", headers={"Authorization": "Basic YTpi"})
        assert answer.status_code == 503
        assert answer.json()["error"] == "RecordUnreachableError"
        assert "127.0.0.1" not in answer.text
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("text", ["1" * 5_000, "NaN", "-Infinity", "1e9", "true", "[]", "\\u0000"])
def test_odd_numbers_are_no_numbers(client: TestClient, text: str) -> None:
    answer = client.post(
        "/api/1/search",
        content=f'{{"max_results": {text}}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_there_is_no_method_that_changes_anything(
    app: FastAPI, client: TestClient, method: str
) -> None:
    for path, operations in app.openapi()["paths"].items():
        assert set(operations) <= {"get", "post"}
        assert client.request(method, path).status_code == 405
