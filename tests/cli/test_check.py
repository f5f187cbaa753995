"""``tracker check``, and what ``tracker show`` says about loading."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import mlflow
import pytest
import torch
from click.testing import CliRunner, Result
from mlflow.tracking import MlflowClient

import tracker
from tracker import Checkpoint
from tracker.cli import cli

pytestmark = pytest.mark.usefixtures("workplace", "forking")

MODEL = """
import torch


class Scaled(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, 2)

    def forward(self, x):
        return self.linear(x) * 2
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture
def checkpoint(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """A checkpoint whose class is in ``scaled.py`` in the working directory.

    This process forgets the class again; the others, in which models are rebuilt, never knew it.
    """
    (workplace / "scaled.py").write_text(MODEL)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(workplace)
        model = importlib.import_module("scaled").Scaled(3)
        tracker.log_checkpoint(model, epoch=1, example_input=torch.ones(1, 3), wait=True)
        del sys.modules["scaled"]
    return tracker.get_checkpoint(epoch=1)


def test_a_checkpoint_that_loads_is_ok(checkpoint: Checkpoint) -> None:
    done = invoke("check", checkpoint.id)
    assert done.exit_code == 0
    assert done.output == f"ok      {checkpoint.id}: output for the example identical\n"


def test_code_that_computes_something_else_is_told_and_no_failure(
    checkpoint: Checkpoint, workplace: Path
) -> None:
    (workplace / "scaled.py").write_text(MODEL.replace("* 2", "* 3"))
    done = invoke("check", checkpoint.id)
    assert done.exit_code == 0
    assert done.output.startswith(
        f"changed {checkpoint.id}: the code of scaled has changed; output for the example different"
    )


def test_a_breaking_refactoring_fails_with_status_1_and_one_line(
    checkpoint: Checkpoint, workplace: Path
) -> None:
    (workplace / "scaled.py").write_text(MODEL.replace("Scaled", "Rescaled"))
    done = invoke("check", checkpoint.id)
    assert done.exit_code == 1
    assert done.output.startswith(
        f"FAILS   {checkpoint.id}: ClassNotFoundError: The class 'Scaled'"
    )
    assert done.output.count("\n") == 1


def test_the_source_kept_in_the_checkpoint_can_be_trusted(
    checkpoint: Checkpoint, workplace: Path
) -> None:
    (workplace / "scaled.py").unlink()
    assert invoke("check", checkpoint.id).exit_code == 1
    assert invoke("check", checkpoint.id, "--trust", "source").output.startswith("ok ")


def test_json_holds_the_whole_report(checkpoint: Checkpoint) -> None:
    (found,) = json.loads(invoke("check", checkpoint.id, "--json").stdout)
    assert (found["names"], found["status"]) == ([checkpoint.id], "ok")
    assert found["report"]["example"]["verdict"] == "identical"
    broken = invoke("check", "m-nothing", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)[0]["status"] == "fails"


def test_without_weights_no_example_is_run(checkpoint: Checkpoint) -> None:
    done = invoke("check", checkpoint.id, "--no-weights")
    assert done.output == f"ok      {checkpoint.id}: by its constructor\n"


def test_without_arguments_aliases_are_checked(checkpoint: Checkpoint) -> None:
    nothing = invoke("check")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "No version of a registered model has an alias" in nothing.stderr
    mlflow.register_model(f"models:/{checkpoint.id}", "digits")
    MlflowClient().set_registered_model_alias("digits", "production", "1")
    assert invoke("check").stdout.startswith("ok      models:/digits@production: ")


def test_a_wrong_call_has_status_2() -> None:
    assert CliRunner().invoke(cli, ["check", "--nope"]).exit_code == 2


def test_an_argument_that_is_not_usable_is_an_error(checkpoint: Checkpoint) -> None:
    done = CliRunner().invoke(cli, ["check", checkpoint.id, "--trust", "not a package"])
    assert done.exit_code == 1
    assert "trust=" in str(done.exception)


def test_show_tells_how_it_loads(checkpoint: Checkpoint, workplace: Path) -> None:
    shown = invoke("show", checkpoint.id).output
    assert f"class scaled:Scaled: imported from {workplace / 'scaled.py'}" in shown
    assert "example: identical" in shown
    (workplace / "scaled.py").write_text(MODEL.replace("* 2", "* 3"))
    assert "and has changed since" in invoke("show", checkpoint.id).output


def test_show_diff_is_the_diff_and_nothing_else(checkpoint: Checkpoint, workplace: Path) -> None:
    same = invoke("show", checkpoint.id, "--diff")
    assert same.stdout == ""
    assert "as it was when it was logged" in same.stderr
    (workplace / "scaled.py").write_text(MODEL.replace("* 2", "* 3"))
    lines = invoke("show", checkpoint.id, "--diff").stdout.splitlines()
    assert lines[0] == f"--- {workplace / 'scaled.py'} (when logged)"
    assert "-        return self.linear(x) * 2" in lines
    assert "+        return self.linear(x) * 3" in lines


def test_show_json_holds_the_report(checkpoint: Checkpoint) -> None:
    shown = json.loads(invoke("show", checkpoint.id, "--json").stdout)
    assert shown["load"]["rebuilt"] == "constructor"


def test_show_downloads_nothing(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from tracker import api

    elsewhere = Checkpoint(
        dataclasses.replace(checkpoint.record, artifact_uri="http://127.0.0.1:9/artifacts")
    )
    monkeypatch.setattr(api, "as_checkpoint", lambda source: elsewhere)
    shown = invoke("show", checkpoint.id)
    assert shown.exit_code == 0
    assert f"tracker check {checkpoint.id}" in shown.stdout
    assert json.loads(invoke("show", checkpoint.id, "--json").stdout)["load"] is None
    assert "not on this machine" in invoke("show", checkpoint.id, "--diff").stderr
