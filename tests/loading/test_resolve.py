"""Whatever names a checkpoint: ids, runs:/ and models:/ URIs."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.training import log
from tracker import Checkpoint
from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.loading.resolve import resolve

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def two() -> list[Checkpoint]:
    with mlflow.start_run():
        return [log(epoch=1), log(epoch=2)]


def test_an_id_or_a_unique_beginning_names_a_checkpoint(two: list[Checkpoint]) -> None:
    assert resolve(two[0].id) == two[0].record
    assert resolve(two[0].id[:12]) == two[0].record
    assert resolve(f"models:/{two[0].id}") == two[0].record


def test_a_run_and_a_name_name_a_checkpoint_and_a_run_alone_its_latest(
    two: list[Checkpoint],
) -> None:
    run_id = two[0].run_id
    assert resolve(f"runs:/{run_id}/epoch-1") == two[0].record
    assert resolve(f"runs:/{run_id}") == resolve(f"runs:/{run_id}/") == two[1].record


def test_a_beginning_of_several_ids_lists_them(two: list[Checkpoint]) -> None:
    with pytest.raises(InvalidArgumentError, match="beginning of several ids") as caught:
        resolve("m-")
    assert all(checkpoint.id in str(caught.value) for checkpoint in two)


@pytest.mark.parametrize("source", ["m-zzz", "models:/m-zzz", "m-%", "m_"])
def test_an_id_that_does_not_exist_lists_the_newest(two: list[Checkpoint], source: str) -> None:
    with pytest.raises(NotFoundError, match="The newest: ") as caught:
        resolve(source)
    assert f"{two[1].id} (Default, epoch-2)" in str(caught.value)


def test_a_name_that_the_run_does_not_have_lists_those_it_has(two: list[Checkpoint]) -> None:
    with pytest.raises(NotFoundError, match=r"named 'epoch-9'\. It has: epoch-2, epoch-1\."):
        resolve(f"runs:/{two[0].run_id}/epoch-9")
    with pytest.raises(NotFoundError, match="The newest runs"):
        resolve("runs:/nope/epoch-1")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "/tmp/model.pt",
        "net.pt/x",
        "http://host/x",
        "runs:/",
        "runs:/a/b/c",
        "models:/",
        "models:/Net",
        "models:/Net@",
        "models:/Net/",
        "models:/Net/Production",
        "models:/@alias",
    ],
)
def test_what_has_no_known_form_is_told_the_forms(two: list[Checkpoint], source: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a Checkpoint, a checkpoint's id"):
        resolve(source)


def test_a_registered_model_is_found_by_version_and_alias(two: list[Checkpoint]) -> None:
    mlflow.register_model(f"models:/{two[0].id}", "Net")
    MlflowClient().set_registered_model_alias("Net", "champion", "1")
    assert resolve("models:/Net/1") == resolve("models:/Net@champion") == two[0].record


def test_a_registered_model_that_does_not_exist_is_not_found(two: list[Checkpoint]) -> None:
    for source in ("models:/Net/1", "models:/Net@champion"):
        with pytest.raises(NotFoundError, match="Net"):
            resolve(source)
    mlflow.register_model(f"models:/{two[0].id}", "Net")
    MlflowClient().set_registered_model_alias("Net", "champion", "1")
    with pytest.raises(NotFoundError, match="version=7"):
        resolve("models:/Net/7")
    with pytest.raises(NotFoundError, match=r"no alias 'best'\. Aliases: champion\."):
        resolve("models:/Net@best")


def test_a_model_that_was_registered_by_its_files_is_found_too(two: list[Checkpoint]) -> None:
    mlflow.register_model(two[0].record.artifact_uri, "Net")
    assert resolve("models:/Net/1") == two[0].record


def test_a_registered_model_of_somebody_else_is_told_apart(two: list[Checkpoint]) -> None:
    MlflowClient().create_registered_model("Other")
    MlflowClient().create_model_version("Other", "s3://bucket/model")
    with pytest.raises(NotFoundError, match="was not made from a checkpoint of tracker"):
        resolve("models:/Other/1")
