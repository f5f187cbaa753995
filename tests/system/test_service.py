"""``tracker serve`` beside a real MLflow server with accounts: who sees what, and what goes wrong.

Ada may read one of two experiments. The service has an account that may read both.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import tracker
from tracker import api
from tracker.errors import CatalogError, NotAuthenticatedError, NotFoundError

from .processes import PYTHON, TRACKER, environment, free_port, succeed
from .servers import Server

pytestmark = pytest.mark.system

ADMIN = ("admin", "a password of the administrator")
ADA = ("ada", "a password of Ada's")
BOB = ("bob", "a password of Bob's")

AUTHENTICATION = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///accounts.db
admin_username = {0}
admin_password = {1}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""

TRAIN = """
import math, mlflow, torch, tracker

for experiment, loss in (("secret", 0.1), ("shared", 0.5)):
    mlflow.set_experiment(experiment)
    with mlflow.start_run():
        for epoch in range(3):
            metrics = {"val_loss": loss / (epoch + 1), f"of_{experiment}": math.nan}
            tracker.log_checkpoint(torch.nn.Linear(2, 2), epoch=epoch, metrics=metrics)
    best = tracker.best_checkpoint("val_loss", experiment=experiment)
    tracker.register(best, f"model-of-{experiment}", alias="champion")
"""


@dataclass(frozen=True)
class Served:
    """The two servers, and what was logged: the ids of checkpoints by experiment."""

    mlflow: Server
    service: Server
    uri: str
    url: str
    ids: dict[str, list[str]]

    def ask(self, path: str, who: tuple[str, str] | None = ADA, **more: Any) -> requests.Response:
        """Ask the service over HTTP: a POST if there is a body."""
        method = "POST" if {"json", "data"} & more.keys() else "GET"
        return requests.request(
            method, f"{self.url}/api/1/{path}", auth=who, timeout=60, allow_redirects=False, **more
        )

    def administer(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask something of MLflow as its administrator."""
        answer = requests.post(f"{self.uri}/api/{path}", json=body, auth=ADMIN, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def variables(directory: Path, uri: str, who: tuple[str, str], **more: str) -> dict[str, str]:
    """The environment of somebody with an MLflow account."""
    return environment(
        directory,
        MLFLOW_TRACKING_URI=uri,
        MLFLOW_TRACKING_USERNAME=who[0],
        MLFLOW_TRACKING_PASSWORD=who[1],
        **more,
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("service")
    (directory / "accounts.ini").write_text(AUTHENTICATION.format(*ADMIN))
    (directory / "mlflow.db").write_bytes(database_template.read_bytes())
    (directory / "train.py").write_text(TRAIN)
    port, own_port = free_port(), free_port()
    uri, url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{own_port}"
    mlflow = Server(
        "mlflow",
        [
            *(PYTHON, "-m", "mlflow", "server", "--app-name", "basic-auth", "--port", str(port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{directory}/mlflow.db"),
            *("--artifacts-destination", str(directory / "files")),
            *("--default-artifact-root", "mlflow-artifacts:/"),
        ],
        directory,
        environment(
            directory,
            MLFLOW_AUTH_CONFIG_PATH=str(directory / "accounts.ini"),
            MLFLOW_FLASK_SERVER_SECRET_KEY="signs the forms",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        ),
        f"{uri}/health",
    )
    service = Server(
        "service",
        [TRACKER, "serve", "--port", str(own_port)],
        directory,
        variables(directory, uri, ADMIN, TRACKER_CACHE_DIR=str(directory / "cache of the service")),
        f"{url}/health",
    )
    try:
        for server in (mlflow, service):
            server.start()
        for server in (mlflow, service):
            server.wait()
        found = Served(mlflow, service, uri, url, {})
        for name, password in (ADA, BOB):
            found.administer("2.0/mlflow/users/create", username=name, password=password)
        training = tmp_path_factory.mktemp("training")
        succeed(
            PYTHON,
            directory / "train.py",
            directory=training,
            variables=variables(training, uri, ADMIN),
        )
        grant(found, "shared")
        for each in found.ask("search", ADMIN).json()["checkpoints"]:
            found.ids.setdefault(each["experiment"], []).append(each["id"])
        assert {name: len(ids) for name, ids in found.ids.items()} == {"secret": 3, "shared": 3}
        yield found
    finally:
        for server in (service, mlflow):
            server.kill()


def experiment_id(served: Served, name: str) -> str:
    found = served.administer("2.0/mlflow/experiments/search", max_results=100)["experiments"]
    return next(str(each["experiment_id"]) for each in found if each["name"] == name)


def grant(served: Served, experiment: str, permission: str = "READ") -> None:
    """Let Ada read an experiment."""
    change(served, "grant", experiment, permission=permission)


def change(served: Served, what: str, experiment: str, **more: str) -> None:
    served.administer(
        f"3.0/mlflow/users/permissions/{what}",
        username=ADA[0],
        resource_type="experiment",
        resource_id=experiment_id(served, experiment),
        **more,
    )


def as_client(monkeypatch: pytest.MonkeyPatch, served: Served, who: tuple[str, str] | None) -> None:
    """Be somebody who asks the service, with nothing but an MLflow account."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.uri)
    monkeypatch.setenv("TRACKER_CATALOG_URI", served.url)
    for name, value in zip(("USERNAME", "PASSWORD"), who or ("", ""), strict=True):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what has to come true within a few seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "It never came true."
        time.sleep(0.2)


@pytest.mark.parametrize("who", [None, ("ada", "wrong"), ("nobody", ADA[1]), ("", ""), ADA[::-1]])
def test_whom_mlflow_does_not_know_sees_nothing_and_is_asked_who_it_is(
    served: Served, who: tuple[str, str] | None
) -> None:
    for path in ("search", "experiments", "statistics", "viewer", "checkpoints/m-"):
        answer = served.ask(path, who)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert answer.json()["error"] == "NotAuthenticatedError"


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic !!", "Basic", "Digest a=b", "Basic " + "A" * 9000]
)
def test_credentials_of_another_kind_are_none(served: Served, header: str) -> None:
    answer = requests.get(
        f"{served.url}/api/1/search", headers={"Authorization": header}, timeout=60
    )
    # MLflow itself fails at a token (500) where it keeps passwords in memory.
    assert answer.status_code in (401, 503)
    assert set(answer.json()) == {"error", "message"}


def test_one_sees_what_mlflow_lets_one_read(served: Served) -> None:
    def experiments(who: tuple[str, str]) -> set[str]:
        return {each["name"] for each in served.ask("experiments", who).json()["experiments"]}

    assert experiments(ADMIN) == {"secret", "shared"}
    assert experiments(ADA) == {"shared"}
    assert experiments(BOB) == set()
    best = served.ask("best?metric=val_loss").json()["checkpoints"]
    assert [each["id"] for each in best] == [served.ids["shared"][0]]
    assert served.ask("viewer").json()["user"] == "ada"
    assert served.ask("statistics").json()["checkpoints"] == 3


def test_ids_that_may_not_be_seen_are_ids_that_do_not_exist(served: Served) -> None:
    hidden = served.ids["secret"][0]
    unknown = "m-" + "0" * 32
    answers = []
    for identifier in (hidden, unknown):
        for path in (f"checkpoints/{identifier}", f"checkpoints?id={identifier[2:]}"):
            answer = served.ask(path)
            shown = identifier if path.startswith("checkpoints/") else identifier[2:]
            answers.append((answer.status_code, answer.text.replace(shown, "ID")))
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    assert "secret" not in answers[0][1]


def test_the_beginning_of_an_id_leads_only_to_what_may_be_seen(served: Served) -> None:
    for hidden in served.ids["secret"]:
        for length in (3, 4, 7, 20, len(hidden) - 1):
            answer = served.ask(f"checkpoints/{hidden[:length]}")
            assert not set(served.ids["secret"]) & set(answer.text.replace('"', " ").split())


def test_no_answer_names_what_may_not_be_seen(served: Served) -> None:
    run_id = served.ask(f"checkpoints/{served.ids['secret'][0]}", ADMIN).json()["run_id"]
    questions = [
        ("search", {"json": {"experiments": ["secre"]}}),
        ("search", {"json": {"experiments": ["shared", "secret"]}}),
        ("search", {"json": {"filter": "metrics.of_secre > 0"}}),
        ("search", {"json": {"filter": "attributes.experiment_name LIKE '%s%'"}}),
        ("search", {"json": {"run_id": run_id[:8]}}),
        ("best?metric=of_secre&mode=min", {}),
        ("best?metric=of_secret&mode=min", {}),
        ("metrics", {}),
        ("runs", {}),
        ("experiments", {}),
        ("checkpoint?run_id=" + run_id[:-1], {}),
        ("history", {"json": {"run_ids": [run_id], "metric": "val_loss"}}),
        ("registered-models", {}),
    ]
    for path, more in questions:
        text = served.ask(path, **more).text
        asked = "secret" in f"{path}{more}"  # it may say which name it was asked for
        assert asked or "secret" not in text, path
        for identifier in served.ids["secret"]:
            assert identifier not in text, path


def test_where_a_registered_version_comes_from_is_told_to_who_may_see_it(served: Served) -> None:
    for name in ("shared", "secret"):
        served.administer(
            "3.0/mlflow/users/permissions/grant",
            username=ADA[0],
            resource_type="registered_model",
            resource_id=f"model-of-{name}",
            permission="READ",
        )
    models = served.ask("registered-models").json()["models"]
    assert [(m["name"], m["aliases"]) for m in models] == [
        ("model-of-secret", {"champion": 1}),
        ("model-of-shared", {"champion": 1}),
    ]
    assert served.ask("registered-models", BOB).json() == {"models": []}
    found = served.ask("registered-models/model-of-shared/versions/@champion").json()
    assert found["version"] == 1
    assert found["aliases"] == ["champion"]
    assert found["checkpoint"]["id"] == served.ids["shared"][0]
    assert found["checkpoint"]["experiment"] == "shared"
    hidden = served.ask("registered-models/model-of-secret").json()
    assert hidden["versions"][0]["checkpoint"] is None
    assert hidden["versions"][0]["description"] == ""
    shown = served.ask("registered-models/model-of-secret", ADMIN).json()
    assert shown["versions"][0]["checkpoint"]["id"] == served.ids["secret"][0]
    unseen = served.ask("registered-models/model-of-secret", BOB)
    missing = served.ask("registered-models/model-of-nothing", BOB)
    assert unseen.status_code == missing.status_code == 404
    assert unseen.text.replace("secret", "nothing") == missing.text


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE tracker_checkpoints; --",
    '") UNION SELECT sql FROM sqlite_master --',
    "{{ 1234 * 5678 }}",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "%s%n%x",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "\u202e\u0000",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_is_text(served: Served, text: str) -> None:
    for path, more in (
        ("search", {"json": {"filter": text}}),
        ("search", {"json": {"experiments": [text], "order_by": [text], "run_id": text}}),
        ("best", {"json": {"metric": text, "mode": text}}),
        ("pareto", {"json": {"metrics": {text: text, "val_loss": "min"}}}),
        ("history", {"json": {"run_ids": [text], "metric": text}}),
        ("checkpoints", {"params": {"id": text}}),
        (f"checkpoints/{text}", {}),
        (f"registered-models/{text}/versions/{text}", {}),
    ):
        answer = served.ask(path, **more)
        assert answer.status_code in (200, 400, 404), answer.text
        assert answer.headers["Content-Type"] == "application/json"
        assert not any(
            sign in answer.text for sign in ("SELECT c", "Traceback", "root:", "7006652")
        )
    assert served.ask("statistics", ADMIN).json()["checkpoints"] == 6


def test_what_is_too_long_or_no_question_is_refused(served: Served) -> None:
    def status(**more: Any) -> int:
        return served.ask("search", **more).status_code

    assert status(data=b"x" * 4_000_000) == 413
    assert status(data=iter([b"x" * 1_000_000] * 4)) == 413
    assert status(json={"filter": "x" * 600_000}) == 400
    assert status(data=b"{") == 400
    assert status(json=[1]) == 400
    assert status(json={"max_results": 10**9}) == 400
    assert status(data=b'{"max_results": 1e400}') == 400
    assert status(json={"unknown": 1}) == 400
    assert status(data=b'{"filter": ' + b"[" * 100_000) == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    for path in ("search", f"checkpoints/{served.ids['shared'][0]}", "registered-models/x"):
        answer = requests.request(method, f"{served.url}/api/1/{path}", auth=ADMIN, timeout=60)
        assert answer.status_code in (400, 405)


def test_another_host_s_name_is_refused(served: Served) -> None:
    answer = requests.get(
        f"{served.url}/api/1/search", headers={"Host": "evil.example"}, auth=ADMIN, timeout=60
    )
    assert answer.status_code == 403


def test_a_client_needs_only_an_account(
    served: Served, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_client(monkeypatch, served, ADA)
    found = tracker.best_checkpoint("val_loss")
    assert found.id == served.ids["shared"][0]
    assert [each.id for each in tracker.search_checkpoints()] == served.ids["shared"]
    assert tracker.best_of_each_run("val_loss") == [found]
    assert found.load_model().weight.shape == (2, 2)  # type: ignore[union-attr]
    assert not (workplace / "cache" / "mirrors").exists()
    with pytest.raises(NotFoundError, match="Experiments: shared"):
        tracker.search_checkpoints(experiment="secret")
    catalog = next(each for each in api.diagnose() if each.name == "catalog")
    assert catalog.ok
    assert catalog.detail == "answers as ada; 3 checkpoints to be seen"
    assert not api.update_mirror(lambda count: None)
    for upkeep in (api.reindex, api.upgrade_database):
        with pytest.raises(CatalogError, match="keeps the catalog"):
            upkeep()


def test_a_checkpoint_is_found_as_soon_as_it_is_logged(
    served: Served, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training import log

    as_client(monkeypatch, served, ADMIN)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    logged = log(epoch=7, metrics={"val_loss": 0.7})
    assert tracker.get_checkpoint(logged.run_id) == logged
    assert tracker.search_checkpoints("metrics.val_loss = 0.7") == [logged]


def test_wrong_credentials_are_said_to_be_so(
    served: Served, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who in (("ada", "wrong"), None):
        as_client(monkeypatch, served, who)
        with pytest.raises(NotAuthenticatedError, match="MLFLOW_TRACKING_USERNAME"):
            tracker.search_checkpoints()


def test_a_plain_mlflow_server_is_mirrored_as_ever(
    served: Served, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_client(monkeypatch, served, ADA)
    monkeypatch.delenv("TRACKER_CATALOG_URI")
    assert [each.id for each in tracker.search_checkpoints()] == served.ids["shared"]
    assert list((workplace / "cache" / "mirrors").glob("*.db"))
    assert '"found": false' in next((workplace / "cache" / "services").glob("*.json")).read_text()


def test_a_permission_that_is_taken_away_is_gone_in_seconds(served: Served) -> None:
    grant(served, "secret")
    until(lambda: served.ask("statistics").json()["checkpoints"] > 3)
    change(served, "revoke", "secret")
    until(lambda: served.ask("statistics").json()["checkpoints"] == 3)


def test_a_user_who_is_deleted_is_nobody_in_seconds(served: Served) -> None:
    carol = ("carol", "a password of Carol's")
    served.administer("2.0/mlflow/users/create", username=carol[0], password=carol[1])
    until(lambda: served.ask("viewer", carol).status_code == 200)
    answer = requests.delete(
        f"{served.uri}/api/2.0/mlflow/users/delete",
        json={"username": carol[0]},
        auth=ADMIN,
        timeout=60,
    )
    assert answer.status_code == 200
    until(lambda: served.ask("viewer", carol).status_code == 401)


def test_while_mlflow_is_slow_nothing_is_shown(served: Served) -> None:
    assert served.mlflow.process is not None
    until(lambda: served.ask("viewer").status_code == 200)
    os.killpg(served.mlflow.process.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(3) as several:
            asked = [several.submit(served.ask, "search", who) for who in (ADA, BOB, ADMIN)]
            assert requests.get(f"{served.url}/health", timeout=5).status_code == 200
            answers = [each.result() for each in asked]
    finally:
        os.killpg(served.mlflow.process.pid, signal.SIGCONT)
    for answer in answers:
        assert answer.status_code == 503
        assert set(answer.json()) == {"error", "message"}
    until(lambda: served.ask("search").status_code == 200)
