"""Code that changes between training and loading, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .forked import FORKED_CHILDREN
from .processes import PYTHON, environment, place, run, succeed, tracker_json

pytestmark = pytest.mark.system

LAYERS = """
import torch

RESIDUAL = True


def activation(x):
    return torch.relu(x)
"""

NET = """
import torch
from torch import nn
import layers


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.first = nn.Linear(4, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.calls = 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x, mask=None):
        self.calls += 1
        self.seen += 1
        y = layers.activation(self.first(x))
        z = self.second(nn.functional.dropout(y, 0.25))
        return z + y if layers.RESIDUAL else z
"""

TRAIN = """
import torch, tracker
from net import Net

torch.manual_seed(0)
model = Net(hidden=8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model(torch.randn(16, 4)).pow(2).mean().backward()
    optimizer.step()
    before = torch.get_rng_state(), model.calls, model.seen.clone()
    tracker.log_checkpoint(model, epoch=epoch, example_input=torch.linspace(-1, 1, 8).reshape(2, 4))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (model.calls, model.seen) and model.training
"""

LOAD = """
import warnings
import torch, tracker

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = tracker.get_checkpoint(epoch=1).load_model()
assert model.calls == 2 and model.seen.item() == 2 and not model.training
for warning in caught:
    if issubclass(warning.category, UserWarning):
        print(warning.message)
"""


@pytest.fixture(scope="module")
def trained_once(database_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    place(database_template, directory)
    write_code(directory)
    (directory / "train.py").write_text(TRAIN)
    (directory / "load.py").write_text(LOAD)
    succeed(PYTHON, "train.py", directory=directory, variables=environment(directory))
    return directory


@pytest.fixture
def trained(trained_once: Path) -> Path:
    """A working directory whose code is as it was in training."""
    write_code(trained_once)
    return trained_once


def write_code(directory: Path) -> None:
    (directory / "layers.py").write_text(LAYERS)
    (directory / "net.py").write_text(NET)


def change(directory: Path, file: str, old: str, new: str) -> None:
    path = directory / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def load(directory: Path) -> str:
    return succeed(PYTHON, "load.py", directory=directory, variables=environment(directory))


def explained(directory: Path) -> dict:
    variables = environment(directory, **{FORKED_CHILDREN: "1"})
    return tracker_json("show", newest(directory), directory=directory, variables=variables)["load"]


def newest(directory: Path) -> str:
    variables = environment(directory)
    (found,) = tracker_json("list", "--limit", "1", directory=directory, variables=variables)
    return found["id"]


def test_unchanged_code_loads_without_a_word_and_identically(trained: Path) -> None:
    assert load(trained) == ""
    assert explained(trained)["example"]["verdict"] == "identical"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("layers.py", "RESIDUAL = True", "RESIDUAL = False"),
        ("layers.py", "torch.relu", "torch.nn.functional.gelu"),
        ("net.py", "dropout(y, 0.25)", "dropout(y, 0.5)"),
    ],
    ids=["flag", "activation", "dropout"],
)
def test_a_change_that_no_structure_shows_is_noticed(
    trained: Path, file: str, old: str, new: str
) -> None:
    change(trained, file, old, new)
    told = load(trained)
    assert "computes something else than when it was logged" in told
    assert "in output[" in told
    report = explained(trained)
    assert report["loads"]
    assert report["example"]["verdict"] == "different"
    module = file.removesuffix(".py")
    assert report["diffs"].keys() == {module}
    added = [line for line in report["diffs"][module].splitlines() if line.startswith("+")]
    assert any(new in line for line in added)


def test_a_refactoring_that_computes_the_same_is_identical(trained: Path) -> None:
    change(trained, "net.py", "z + y if layers.RESIDUAL else z", "torch.add(z, y)")
    assert "computes something else" not in load(trained)
    assert explained(trained)["example"]["verdict"] == "identical"


def test_a_team_finds_the_breaking_change_before_its_deployment_does(trained: Path) -> None:
    checkpoint = newest(trained)
    register = (
        "import mlflow\n"
        f"mlflow.register_model('models:/{checkpoint}', 'net')\n"
        "mlflow.tracking.MlflowClient().set_registered_model_alias('net', 'production', '1')\n"
    )
    variables = environment(trained)
    succeed(PYTHON, "-c", register, directory=trained, variables=variables)
    command = [PYTHON, "-m", "tracker", "check", "--json"]
    variables[FORKED_CHILDREN] = "1"
    (found,) = json.loads(succeed(*command, directory=trained, variables=variables))
    assert (found["names"], found["status"]) == (["models:/net@production"], "ok")
    change(trained, "net.py", "class Net(", "class Network(")
    done = run(*command, directory=trained, variables=variables)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["status"] == "fails"
    assert "The class 'Net' of module 'net' was not found" in found["reason"]
    assert "+class Network(nn.Module):" in found["report"]["diffs"]["net"]
