"""`tracker collect`: what it shows, removes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.cli.running import invoke, refused
from tests.training import log

pytestmark = pytest.mark.usefixtures("workplace")


def test_it_shows_and_then_removes() -> None:
    with mlflow.start_run() as run:
        deleted = log(epoch=0)
        log(epoch=1)
    MlflowClient().delete_logged_model(deleted.id)
    young = invoke("collect")
    assert "younger than the grace period" in young.stdout
    shown = invoke("collect", "--dry-run", "--grace", "0")
    assert shown.stdout.startswith(
        f"goes     {deleted.id} epoch-0 of run {run.info.run_id[:8]} (deleted, "
    )
    assert "1 of 1 leftovers; " in shown.stderr
    assert Path(deleted.record.artifact_uri).is_dir()
    assert invoke("collect", "--grace", "0s").stdout.startswith(f"removed  {deleted.id}")
    assert not Path(deleted.record.artifact_uri).exists()
    assert json.loads(invoke("collect", "--grace", "0", "--json").stdout) == []


@pytest.mark.parametrize("grace", ["soon", "-1", "1y", ""])
def test_a_time_that_is_none_is_refused(grace: str) -> None:
    assert "is no time; expected 30s, 90m, 1h, 2d or 1w" in refused("collect", "--grace", grace)
