"""The commands of the registry: register, promote, roll back, list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.running import invoke, refused
from tests.models import Net
from tests.training import log
from tracker.cli import cli
from tracker.errors import NotFoundError

pytestmark = pytest.mark.usefixtures("workplace", "forking")


def printed(*arguments: str) -> Any:
    return json.loads(invoke(*arguments, "--json").stdout)


def test_a_model_is_registered_promoted_and_rolled_back() -> None:
    checkpoints = [
        log(Net(hidden=4), epoch=epoch, metrics={"val_loss": 1 / epoch}) for epoch in (1, 2)
    ]
    first = printed("register", checkpoints[0].id, "digits-cnn", "--alias", "champion")
    assert (first["uri"], first["aliases"], first["is_new"]) == (
        "models:/digits-cnn/1",
        ["champion"],
        True,
    )
    told = invoke("register", checkpoints[1].id, "digits-cnn", "--tag", "team=vision").stdout
    assert told == (
        f"epoch-2 of run {checkpoints[1].run_id} is registered as models:/digits-cnn/2\n"
    )
    again = invoke("register", checkpoints[1].id[:12], "digits-cnn").stdout
    assert "was registered before as models:/digits-cnn/2" in again

    promoted = invoke("promote", "digits-cnn", "2").stdout
    assert "has the alias 'champion' now: models:/digits-cnn/2" in promoted
    assert 'tracker.load_model("models:/digits-cnn@champion")' in promoted
    assert printed("promote", "digits-cnn", "--rollback")["version"] == 1
    assert printed("promote", "digits-cnn", checkpoints[1].id, "--alias", "next")["version"] == 2

    second, first = printed("models", "digits-cnn")
    assert (second["epoch"], second["metrics"], second["aliases"]) == (
        2,
        {"val_loss": 0.5},
        ["next"],
    )
    assert second["tags"] == {"team": "vision"}
    assert first["checkpoint_id"] == checkpoints[0].id
    (model,) = printed("models")
    assert model["aliases"] == {"champion": 1, "next": 2}
    assert "champion 1, next 2" in invoke("models").stdout
    heading, *rows = invoke("models", "digits-cnn").stdout.splitlines()
    assert heading.split()[:4] == ["VERSION", "ALIASES", "WAS", "EPOCH"]
    assert [row.split()[0] for row in rows] == ["2", "1"]
    shown = printed("show", "models:/digits-cnn@champion")
    assert (shown["run_id"], shown["epoch"]) == (checkpoints[0].run_id, 1)
    assert printed("show", shown["id"])["artifact_uri"] == shown["artifact_uri"]


def test_calls_that_make_no_sense_are_told() -> None:
    assert "a VERSION to promote, or --rollback" in refused("promote", "digits-cnn")
    assert "a VERSION to promote, or --rollback" in refused("promote", "x", "1", "--rollback")
    assert "expected KEY=VALUE" in refused("register", log(epoch=1).id, "x", "--tag", "team")


def test_an_empty_registry_and_an_unknown_name_are_told() -> None:
    assert invoke("models").stderr == "No model is registered.\n"
    done = CliRunner().invoke(cli, ["models", "digits-cnn"])
    assert isinstance(done.exception, NotFoundError)
