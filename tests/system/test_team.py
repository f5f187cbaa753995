"""A team: the whole of docker-compose.yml as processes, and people who know its one URL.

ada trains; bob may read, as everybody may; eve was denied ada's experiments.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import pytest

from . import compose
from .processes import PYTHON, TRACKER, run, start, succeed, wait_until
from .team_scripts import (
    LOAD_CHAMPION,
    PLAIN_MLFLOW,
    TRAIN_AND_REGISTER,
    TRAIN_UNTIL_TOLD,
    TRY_TO_WRITE,
    WRONG_CLOCKS,
)
from .topology import SECRETS, Team, add_user, ask, grant, team

pytestmark = pytest.mark.system

ADA, BOB, EVE = (
    ("ada", "analytical engine"),
    ("bob", "p@ss: word/with? signs#"),
    ("eve", "listens at the wire"),
)
SERVICE = ("tracker-service", SECRETS["TRACKER_SERVICE_PASSWORD"])


@dataclass(frozen=True)
class Trained:
    """What ada did, from her machine."""

    directory: Path
    run_id: str
    experiment_id: str

    @property
    def expected(self) -> str:
        return str(self.directory / "expected.pt")


@pytest.fixture(scope="module")
def servers() -> Iterator[Team]:
    with team() as running:
        for user in (ADA, BOB, EVE):
            add_user(running, user)
        yield running


@pytest.fixture(scope="module")
def trained(servers: Team, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("ada")
    (directory / "train.py").write_text(TRAIN_AND_REGISTER)
    variables = servers.machine(directory, ADA)
    printed = succeed(PYTHON, "train.py", directory=directory, variables=variables)
    run_id, experiment_id, registry_id = printed.split()[-3:]
    for hidden in (experiment_id, registry_id):
        grant(servers, EVE, hidden, "DENY")
    return Trained(directory, run_id, experiment_id)


@pytest.fixture(scope="module")
def printed_by_bob(
    servers: Team, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The lines that bob's script printed, which loads the model and tries to write."""
    directory = tmp_path_factory.mktemp("bob")
    variables = servers.machine(directory, BOB)
    assert not [name for name in variables if name.startswith(("PG", "AWS", "S3"))]
    script = LOAD_CHAMPION + TRY_TO_WRITE
    return succeed(
        *(PYTHON, "-c", script, trained.expected, trained.run_id),
        directory=directory,
        variables=variables,
    ).splitlines()


def test_a_model_is_loaded_on_another_machine_that_has_an_account_and_nothing_else(
    printed_by_bob: list[str],
) -> None:
    assert printed_by_bob[0] == "Net"


def test_a_reader_changes_nothing(
    servers: Team, trained: Trained, printed_by_bob: list[str]
) -> None:
    tries = dict(line.split(" ", 1) for line in printed_by_bob[1:] if " " in line)
    assert {*tries} >= {"log", "promote", "delete", "metric"}
    for name, outcome in tries.items():
        assert "Permission denied" in outcome or "403" in outcome, f"{name}: {outcome}"
    best, *_ = search(servers, ADA, run_id=trained.run_id, order_by=["metrics.val_loss"])
    assert best["metrics"] == {"val_loss": 0.125, "val_accuracy": 0.9}
    for method in ("PUT", "PATCH", "DELETE"):
        assert ask(servers, method, "/tracker/api/1/search", BOB, {})[0] == 405


def test_somebody_without_read_finds_nothing_and_loads_nothing(
    servers: Team, trained: Trained, tmp_path: Path
) -> None:
    variables = servers.machine(tmp_path, EVE)
    listed = run(TRACKER, "list", directory=tmp_path, variables=variables)
    assert "digits" not in listed.stdout + listed.stderr
    assert "epoch" not in listed.stdout
    identifier = str(search(servers, BOB, run_id=trained.run_id)[0]["id"])
    done = run(
        *(PYTHON, "-c", LOAD_CHAMPION, trained.expected), directory=tmp_path, variables=variables
    )
    assert done.returncode == 1
    assert "tracker.errors." in done.stderr.splitlines()[-1], done.stderr
    guess = "/tracker/api/1/checkpoints/"
    status, hidden = ask(servers, "GET", guess + identifier, EVE)
    never, absent = ask(servers, "GET", guess + "m-" + "0" * 32, EVE)
    assert status == never == 404
    assert hidden.replace(identifier, "m-" + "0" * 32) == absent
    files = f"/api/2.0/mlflow-artifacts/artifacts/{trained.experiment_id}"
    path = f"{files}/models/{identifier}/artifacts/checkpoint.json"
    assert ask(servers, "GET", path, EVE)[0] == 403
    assert ask(servers, "GET", path, BOB)[0] == 200


def test_everybody_else_sees_it_at_the_one_url(servers: Team, trained: Trained) -> None:
    found = search(servers, BOB, experiments=["digits"])
    assert [each["epoch"] for each in found] == [2, 1, 0]
    assert search(servers, EVE) == []
    status, page = ask(servers, "GET", "/tracker/", BOB, Accept="text/html")
    assert status == 200
    assert "digits" in page
    assert "digits" not in ask(servers, "GET", "/tracker/", EVE, Accept="text/html")[1]
    assert ask(servers, "GET", "/tracker", BOB)[0] == 200, "without the slash"
    assert "openapi" in ask(servers, "GET", "/tracker/api/1/openapi.json", BOB)[1]


@pytest.mark.parametrize("user", [None, ("bob", "guessed"), ("nobody", BOB[1])])
def test_without_the_right_password_nothing_is_visible(
    servers: Team, trained: Trained, user: tuple[str, str] | None
) -> None:
    for path in ("/tracker/api/1/search", "/api/2.0/mlflow/experiments/search?max_results=1"):
        status, answer = ask(servers, "GET", path, user)
        assert status == 401
        assert "digits" not in answer


def test_a_wrong_password_is_told_with_what_to_set(servers: Team, tmp_path: Path) -> None:
    variables = servers.machine(tmp_path, ("bob", "guessed"))
    done = run(TRACKER, "list", directory=tmp_path, variables=variables)
    assert done.returncode == 1
    assert "MLFLOW_TRACKING_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_question_of_any_size_is_answered_or_refused(servers: Team) -> None:
    for size, wanted in ((400_000, 400), (3_500_000, 413), (9_000_000, 413)):
        content = {"filter": "x" * size}
        assert ask(servers, "POST", "/tracker/api/1/search", BOB, content)[0] == wanted


def test_the_servers_have_no_more_rights_than_they_need(servers: Team, trained: Trained) -> None:
    for database in ("mlflow", "mlflow_auth"):
        done = servers.database.psql("--dbname", database, "--command", "SELECT 1", role="tracker")
        assert "permission denied" in done.stderr
    content = {"run_id": trained.run_id}
    assert ask(servers, "POST", "/api/2.0/mlflow/runs/delete", SERVICE, content)[0] == 403
    assert len(search(servers, SERVICE, experiments=["digits"])) == 3


def test_files_of_any_size_go_through_the_one_url(servers: Team, tmp_path: Path) -> None:
    # MLflow goes past its server with 500 MiB and more; here, with every file.
    small = {f"MLFLOW_MULTIPART_{way}_MINIMUM_FILE_SIZE": "1" for way in ("UPLOAD", "DOWNLOAD")}
    variables = {**servers.machine(tmp_path, ADA), **small}
    succeed(PYTHON, "-c", PLAIN_MLFLOW, directory=tmp_path, variables=variables)
    for path in ("mpu/create/1/x", "presigned/1/x"):
        method = "POST" if "mpu" in path else "GET"
        assert ask(servers, method, f"/api/2.0/mlflow-artifacts/{path}", ADA)[0] == 501


def test_the_benchmark_of_a_team_counts_every_checkpoint(
    servers: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forking: None
) -> None:
    monkeypatch.syspath_prepend(compose.ROOT / "benchmarks")
    from team import Size, measure

    size = Size(processes=1, threads=2, rounds=2, megabytes=0.5, repeat=1)
    found = measure(servers, size, tmp_path)
    crowd = found["crowd"]
    assert crowd["logged"] == 4
    assert not [
        name for name in crowd if name.startswith(("lost", "twice", "left")) and crowd[name]
    ]
    assert crowd["milliseconds"]["checkpoint logged"]["calls"] == 4
    assert crowd["milliseconds"]["newest 20"]["calls"] > 0
    assert [*found["transfers"]] == [
        f"{way}, {who}" for way in ("upload", "download") for who in ("tracker", "mlflow")
    ]


def test_checkpoints_survive_restarts_of_the_database_and_of_mlflow(
    servers: Team, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(TRAIN_UNTIL_TOLD)
    few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # MLflow's own would take minutes
    variables = {**servers.machine(tmp_path, ADA), **few}
    with (tmp_path / "printed").open("w") as printed:
        process = start(
            *(PYTHON, "train.py"),
            directory=tmp_path,
            variables=variables,
            stdin=PIPE,
            stdout=printed,
            stderr=None,
        )

    def logged() -> int:
        return (tmp_path / "printed").read_text().count("logged\n")

    def wait_for_more() -> None:
        before = logged()
        wait_until(lambda: logged() > before + 1, process)

    wait_for_more()
    servers.database.restart()
    wait_for_more()
    servers.mlflow.kill()
    status, answer = ask(servers, "GET", "/tracker/api/1/search", ADA)
    assert status == 503
    assert "digits" not in answer
    wait_for_more()
    servers.mlflow.start()
    servers.mlflow.wait()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=120) == 0
    count = logged()
    found = search(servers, ADA, experiments=["endurance"])
    assert sorted(each["epoch"] for each in found) == [*range(count)]


def test_wrong_clocks_hide_nothing_and_a_run_keeps_its_order(
    servers: Team, trained: Trained, tmp_path: Path
) -> None:
    printed = succeed(
        *(PYTHON, "-c", WRONG_CLOCKS, servers.url, servers.mlflow.health.removesuffix("/health")),
        directory=tmp_path,
        variables=servers.machine(tmp_path, ADA),
    )
    found = json.loads(printed.splitlines()[-1])
    for (_, before), (latest, after) in zip(found["before"], found["after"], strict=True):
        assert latest == [1, 1, 1]
        assert after == before + 6
    newest = search(servers, ADA, experiments=["clocks"], max_results=2)
    assert {each["run_id"] for each in newest} == {found["run_ids"][-1]}, "no clock's future counts"


def search(servers: Team, user: tuple[str, str], **question: object) -> list[dict[str, object]]:
    """Return what the service's API finds, the newest first.

    While a server is starting again the service says that it can't know (503).
    """
    deadline = time.monotonic() + 30
    while True:
        path = "/tracker/api/1/search"
        status, answer = ask(servers, "POST", path, user, {"max_results": 1000, **question})
        if status != 503 or time.monotonic() > deadline:
            assert status == 200, answer
            return list(json.loads(answer)["checkpoints"])
        time.sleep(0.2)
