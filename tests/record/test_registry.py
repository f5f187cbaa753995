"""Aliases of registered models, as far as checkpoints of tracker have them."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.models import Net
from tests.training import log
from tracker.record import logged_models, versions
from tracker.record.boundary import connect, tracking_uri
from tracker.record.registry import aliased_checkpoints

pytestmark = pytest.mark.usefixtures("workplace")


def alias(name: str, alias: str, version: str) -> None:
    MlflowClient().set_registered_model_alias(name, alias, version)


def test_without_registered_models_there_is_nothing() -> None:
    assert aliased_checkpoints() == []


def test_every_alias_of_every_model_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_PAGE", 1)
    checkpoint = log(Net(hidden=4), epoch=1)
    for name in ("digits", "letters"):
        mlflow.register_model(f"models:/{checkpoint.id}", name)
        alias(name, "production", "1")
    alias("digits", "candidate", "1")
    mlflow.register_model(f"models:/{checkpoint.id}", "without")
    assert aliased_checkpoints() == [
        "models:/digits@candidate",
        "models:/digits@production",
        "models:/letters@production",
    ]


def test_versions_of_another_origin_are_left_out() -> None:
    client = MlflowClient()
    client.create_registered_model("others")
    client.create_model_version("others", "s3://bucket/model")
    alias("others", "production", "1")
    foreign = client.create_logged_model("0", name="foreign")
    client.create_registered_model("foreign")
    client.create_model_version("foreign", f"models:/{foreign.model_id}")
    alias("foreign", "production", "1")
    assert aliased_checkpoints() == []


def test_one_whose_logged_model_was_deleted_is_listed_so_that_it_is_noticed() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    mlflow.register_model(f"models:/{checkpoint.id}", "digits")
    alias("digits", "production", "1")
    logged_models.delete(connect(tracking_uri()), checkpoint.id)
    assert aliased_checkpoints() == ["models:/digits@production"]
