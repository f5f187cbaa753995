"""Tracking through a real MLflow server that stores the artifacts itself, killed at times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import (
    PYTHON,
    TRACKER,
    Finished,
    environment,
    free_port,
    mlflow_server,
    run,
    succeed,
    tracker_json,
)
from .scripts import LOAD_BEST, THREE_EPOCHS

pytestmark = pytest.mark.system

FEW_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class Served:
    """A server with three checkpoints, logged by a process in ``directory``."""

    uri: str
    directory: Path

    def variables(self, directory: Path) -> dict[str, str]:
        """The environment of somebody whose cache, in ``directory``, is empty at first."""
        return environment(directory, MLFLOW_TRACKING_URI=self.uri, **FEW_RETRIES)


def serve(directory: Path, database: Path) -> tuple[str, ...]:
    """Put a database with MLflow's schema there; return the options of a server on it."""
    file = directory / "mlflow.db"
    file.write_bytes(database.read_bytes())
    files = str(directory / "files")
    return (
        *("--backend-store-uri", f"sqlite:///{file}"),
        *("--artifacts-destination", files, "--default-artifact-root", "mlflow-artifacts:/"),
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    with mlflow_server(directory, *serve(directory, database_template)) as (uri, _):
        training = tmp_path_factory.mktemp("training")
        (training / "train.py").write_text(THREE_EPOCHS)
        found = Served(uri, training)
        succeed(PYTHON, "train.py", directory=training, variables=found.variables(training))
        yield found


def command(*arguments: str, served: Served, directory: Path) -> Finished:
    return run(TRACKER, *arguments, directory=directory, variables=served.variables(directory))


def test_what_one_process_logged_another_loads_that_has_nothing_yet(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(THREE_EPOCHS)
    printed = succeed(
        *(PYTHON, "-c", LOAD_BEST, str(served.directory / "expected.pt")),
        directory=tmp_path,
        variables=served.variables(tmp_path),
    )
    assert printed.strip() == "1 Net(hidden=8, depth=3)"
    assert list((tmp_path / "cache" / "mirrors").glob("*.db"))
    assert not list((served.directory / "spool").glob("*/*"))


def test_the_artifacts_go_through_the_server(served: Served, tmp_path: Path) -> None:
    found = tracker_json("list", directory=tmp_path, variables=served.variables(tmp_path))
    assert [each["epoch"] for each in found] == [2, 1, 0]
    assert all(each["artifact_uri"].startswith("mlflow-artifacts:/") for each in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["best", "val_los"], "val_accuracy, val_loss"),
        (["list", "--experiment", "cifar"], "Experiments: digits"),
        (["list", "--filter", "metrics.val_loss <"], "metrics.val_loss <"),
        (["show", "m-0000"], "There is no checkpoint with the id 'm-0000'"),
        (["show", "models:/nothing/1"], "nothing"),
    ],
)
def test_a_wrong_input_is_told_what_there_is(
    served: Served, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = command(*arguments, served=served, directory=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_class_that_is_nowhere_here_says_how_to_get_it(served: Served, tmp_path: Path) -> None:
    done = run(
        *(PYTHON, "-c", LOAD_BEST, str(served.directory / "expected.pt")),
        directory=tmp_path,
        variables=served.variables(tmp_path),
    )
    assert "ClassNotFoundError" in done.stderr
    assert 'trust="source"' in done.stderr


def test_show_fetches_nothing_and_check_does(served: Served, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(THREE_EPOCHS)
    variables = served.variables(tmp_path)
    found, *_ = tracker_json("list", directory=tmp_path, variables=variables)
    shown = command("show", found["id"], served=served, directory=tmp_path)
    assert f"tracker check {found['id']}" in shown.stdout
    assert not (tmp_path / "cache" / "checkpoints").exists()
    checked = command("check", found["id"], served=served, directory=tmp_path)
    assert checked.stdout == f"ok      {found['id']}: by its constructor\n"
    shown = tracker_json("show", found["id"], directory=tmp_path, variables=variables)
    assert shown["load"]["loads"]


def test_a_query_to_a_server_that_does_not_run_is_an_error_soon(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    variables = environment(tmp_path, MLFLOW_TRACKING_URI=uri, **FEW_RETRIES)
    started = time.monotonic()
    listing = run(TRACKER, "list", directory=tmp_path, variables=variables)
    assert listing.returncode == 1
    assert uri in listing.stderr
    assert "Traceback" not in listing.stderr
    assert time.monotonic() - started < 60  # not MLflow's minutes of retries
