"""Registered versions behind a real MLflow server with accounts, and served by MLflow itself."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
import torch
from mlflow.tracking import MlflowClient
from torch import nn

import tracker
from tests.models import Net
from tests.training import log, same
from tracker.errors import NotFoundError, RecordError

from .processes import PYTHON, environment, free_port, kill, mlflow_server, start, succeed

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("workplace")]

ADMINISTRATOR = ("admin", "the administrator's password")
READER = ("rita", "the reader's password")


class Adapted(nn.Module):
    """A frozen backbone, stored once a run, and a small head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(64, 64)
        self.head = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[str]:
    """An MLflow server that stores artifacts itself, with an administrator and a reader."""
    folder = tmp_path_factory.mktemp("accounts")
    (folder / "mlflow.db").write_bytes(database_template.read_bytes())
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nauth_cache_ttl_seconds = 60\n"
        f"database_uri = sqlite:///{folder}/accounts.db\n"
        f"admin_username = {ADMINISTRATOR[0]}\nadmin_password = {ADMINISTRATOR[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    options = ["--app-name", "basic-auth", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    options += ["--artifacts-destination", str(folder / "files")]
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs the forms",
    }
    with mlflow_server(folder, *options, settings=settings) as (uri, _):
        made = requests.post(
            f"{uri}/api/2.0/mlflow/users/create",
            json={"username": READER[0], "password": READER[1]},
            auth=ADMINISTRATOR,
            timeout=60,
        )
        assert made.ok, made.text
        yield uri


def become(user: tuple[str, str], uri: str, directory: Path) -> None:
    """Continue as somebody else, on a machine that has nothing yet."""
    os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = user
    os.environ["TRACKER_CACHE_DIR"] = str(directory / f"cache-{user[0]}")
    mlflow.set_tracking_uri(uri)


def two_epochs(model: Adapted) -> list[tracker.Checkpoint]:
    found = []
    with mlflow.start_run():
        for epoch in (1, 2):
            with torch.no_grad():
                model.head.weight += 1
            metrics = {"val_loss": 1 / epoch}
            found.append(log(model, epoch=epoch, metrics=metrics, example_input=torch.ones(1, 64)))
    return found


def test_a_version_goes_through_the_server_and_outlives_all_it_came_from(
    server: str, workplace: Path
) -> None:
    become(ADMINISTRATOR, server, workplace)
    mlflow.set_experiment("digits")
    model = Adapted()
    first, second = two_epochs(model)
    version = second.register("digits-cnn", alias="champion")
    # It came by way of the spool.
    signature = mlflow.models.get_model_info(f"models:/{second.id}").signature
    assert signature.inputs.inputs[0].shape == (-1, 64)
    assert tracker.api.as_checkpoint(version).record.artifact_uri.startswith("mlflow-artifacts:/")

    client = MlflowClient()
    for checkpoint in (first, second):
        client.delete_logged_model(checkpoint.id)
    client.delete_experiment(second.record.experiment_id)
    folder = _server_folder(workplace)
    uri = f"sqlite:///{folder}/mlflow.db"
    variables = environment(
        workplace,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_TRACKING_USERNAME=ADMINISTRATOR[0],
        MLFLOW_TRACKING_PASSWORD=ADMINISTRATOR[1],
    )
    command = (PYTHON, "-m", "mlflow", "gc", "--backend-store-uri", uri)
    removed = succeed(*command, directory=workplace, variables=variables)
    for gone in (first.id, second.id, second.run_id, second.record.experiment_id):
        assert f"{gone} has been permanently deleted" in removed
    assert not list(folder.glob(f"files/**/{second.id}/**/*.safetensors"))

    become(READER, server, workplace)
    loaded = tracker.load_model("models:/digits-cnn@champion")
    assert same(loaded.state_dict(), model.state_dict())
    assert tracker.registered_versions("digits-cnn")[0].checkpoint_id == second.id
    assert [each.name for each in tracker.registered_models()] == ["digits-cnn"]


def _server_folder(workplace: Path) -> Path:
    return next(workplace.parent.glob("accounts*"))


def test_a_reader_is_refused_and_changes_nothing(server: str, workplace: Path) -> None:
    become(ADMINISTRATOR, server, workplace)
    mlflow.set_experiment("letters")
    checkpoint = log(Adapted(), epoch=1)
    checkpoint.register("letters-cnn", alias="champion")
    other = log(Adapted(), epoch=2)
    mlflow.end_run()

    become(READER, server, workplace)
    with pytest.raises(RecordError, match="Permission denied"):
        other.register("letters-cnn")
    with pytest.raises(RecordError, match="Permission denied"):
        tracker.set_alias("letters-cnn", "mine", 1)
    with pytest.raises(RecordError, match="Permission denied"):
        tracker.delete_alias("letters-cnn", "champion")
    (version,) = tracker.registered_versions("letters-cnn")
    assert version.aliases == ("champion",)


def test_without_a_password_the_registry_says_so(server: str, workplace: Path) -> None:
    become(("rita", "wrong"), server, workplace)
    with pytest.raises(RecordError, match=r"(?i)authenticat"):
        tracker.registered_models()
    with pytest.raises((RecordError, NotFoundError), match=r"(?i)authenticat"):
        tracker.load_model("models:/letters-cnn@champion")


FORMS = [
    {"inputs": [[0.0, 1.0, 2.0, 3.0]]},
    {"inputs": [[0, 1, 2, 3]]},
    {"instances": [[0.0, 1.0, 2.0, 3.0]]},
    {"dataframe_split": {"columns": list("abcd"), "data": [[0, 1.0, 2.0, 3.0]]}},
    {"dataframe_records": [{"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}]},
]


def test_mlflow_serves_a_version_over_http(workplace: Path) -> None:
    model = Net(hidden=4).eval()
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    log(model, epoch=1, example_input=x).register("digits", alias="live")
    port = free_port()
    root = str(Path(__file__).parents[2])
    server = start(
        *(PYTHON, "-m", "mlflow", "models", "serve", "--env-manager", "local"),
        *("--model-uri", "models:/digits@live", "--port", str(port)),
        directory=workplace,
        variables=environment(
            workplace,
            PATH=f"{Path(PYTHON).parent}:{os.environ['PATH']}",  # MLflow calls uvicorn by name
            PYTHONPATH=root,
            MLFLOW_TRACKING_URI="sqlite:///mlflow.db",
        ),
    )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", server)
        with torch.no_grad():
            expected = model(x)
        for form in FORMS:
            found = torch.tensor(_ask(f"http://127.0.0.1:{port}/invocations", form))
            torch.testing.assert_close(found, expected)
    finally:
        kill(server)


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer.")


def _ask(url: str, content: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]
