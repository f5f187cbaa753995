"""What MLflow's own server and tools show of checkpoints that tracker logged to a SQLite file."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from .processes import PYTHON, environment, mlflow_server, succeed
from .scripts import LOAD_SOURCE, THREE_EPOCHS

pytestmark = pytest.mark.system

PREDICT = """
import sys
import mlflow
import torch

x, y = torch.load(sys.argv[1], weights_only=True)
model = mlflow.pyfunc.load_model(sys.argv[2])
assert (torch.from_numpy(model.predict(x.numpy())) == y).all()
print("the same")
"""

REGISTER = """
import sys
import mlflow

version = mlflow.register_model(sys.argv[1], "digits-net")
mlflow.MlflowClient().set_registered_model_alias("digits-net", "champion", version.version)
print(version.version)
"""


@dataclass(frozen=True)
class Server:
    """MLflow's server on the database that a training script logged to."""

    uri: str
    directory: Path

    def get(self, path: str, **query: str | int) -> Any:
        return _json(f"{self.uri}/api/2.0/mlflow/{path}?{urlencode(query)}")

    def post(self, path: str, **body: Any) -> Any:
        return _json(f"{self.uri}/api/2.0/mlflow/{path}", json.dumps(body).encode())

    def python(self, script: str, *arguments: str) -> str:
        """Run a script in the training directory, tracking with the server; return its output."""
        variables = environment(self.directory, MLFLOW_TRACKING_URI=self.uri)
        return succeed(
            *(PYTHON, "-c", script, *arguments), directory=self.directory, variables=variables
        ).strip()


def _json(url: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("ui")
    database = directory / "mlflow.db"
    database.write_bytes(database_template.read_bytes())
    (directory / "train.py").write_text(THREE_EPOCHS)
    succeed(PYTHON, "train.py", directory=directory, variables=environment(directory))
    options = ("--backend-store-uri", f"sqlite:///{database}")
    with mlflow_server(directory, *options, command="ui", cold=True) as (uri, _):
        yield Server(uri, directory)


@pytest.fixture(scope="module")
def run(server: Server) -> Any:
    experiment = server.get("experiments/get-by-name", experiment_name="digits")["experiment"]
    (found,) = server.post("runs/search", experiment_ids=[experiment["experiment_id"]])["runs"]
    return found


@pytest.fixture(scope="module")
def models(server: Server, run: Any) -> dict[str, Any]:
    """The logged models of the run, by name."""
    found = server.post("logged-models/search", experiment_ids=[run["info"]["experiment_id"]])
    return {model["info"]["name"]: model for model in found["models"]}


def pairs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


def test_the_run_shows_the_model_and_the_users_own_params(run: Any) -> None:
    assert run["info"]["status"] == "FINISHED"
    assert pairs(run["data"]["params"]) == {
        "learning_rate": "0.1",
        "model.class": "train:Net",
        "model.hidden": "8",
        "model.depth": "3",
    }


def test_the_run_shows_its_metrics_at_every_epoch(server: Server, run: Any) -> None:
    history = server.get(
        "metrics/get-history", run_id=run["info"]["run_id"], metric_key="val_loss"
    )["metrics"]
    assert [(point["step"], point["value"]) for point in history] == [
        (0, 0.5),
        (1, 0.125),
        (2, 0.25),
    ]


def test_every_checkpoint_is_a_logged_model_that_is_ready(models: dict[str, Any], run: Any) -> None:
    assert sorted(models) == ["epoch-0", "epoch-1", "epoch-2"]
    for model in models.values():
        assert model["info"]["status"] == "LOGGED_MODEL_READY"
        assert model["info"]["source_run_id"] == run["info"]["run_id"]
    outputs = run["outputs"]["model_outputs"]
    assert {each["model_id"] for each in outputs} == {
        model["info"]["model_id"] for model in models.values()
    }


def test_a_logged_model_shows_its_metrics_and_constructor_arguments(models: dict[str, Any]) -> None:
    best = models["epoch-1"]["data"]
    assert pairs(best["metrics"]) == {"val_loss": 0.125, "val_accuracy": 0.9}
    assert pairs(best["params"]) == {"hidden": "8", "depth": "3"}


def test_a_logged_model_shows_its_files(server: Server, models: dict[str, Any]) -> None:
    model_id = models["epoch-1"]["info"]["model_id"]
    listing = server.get(f"logged-models/{model_id}/artifacts/directories")
    names = {file["path"] for file in listing["files"]}
    assert {"checkpoint.json", "model.safetensors", "MLmodel"} <= names


def test_mlflow_predicts_what_the_model_computed(server: Server, models: dict[str, Any]) -> None:
    uri = f"models:/{models['epoch-1']['info']['model_id']}"
    assert server.python(PREDICT, "expected.pt", uri) == "the same"


def test_a_checkpoint_registered_with_mlflow_loads_by_version_and_alias(
    server: Server, models: dict[str, Any]
) -> None:
    uri = f"models:/{models['epoch-1']['info']['model_id']}"
    assert server.python(REGISTER, uri).splitlines()[-1] == "1"

    registered = ["models:/digits-net@champion", "models:/digits-net/1"]
    loaded = server.python(LOAD_SOURCE, "expected.pt", uri, *registered)
    assert loaded.split() == [uri, *registered]
    assert server.python(PREDICT, "expected.pt", registered[0]) == "the same"
