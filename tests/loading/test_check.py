"""Checkpoints that still load, those that changed, and those that don't."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.loading.check import Checked, _judged, check
from tracker.loading.report import LoadReport
from tracker.loading.versions import VersionChange
from tracker.types import Comparison

pytestmark = pytest.mark.usefixtures("workplace", "forking")

ROOT = Path(__file__).parents[2]
X = torch.ones(1, 4)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def register(checkpoint: Checkpoint, name: str, *aliases: str) -> None:
    version = mlflow.register_model(f"models:/{checkpoint.id}", name).version
    for alias in aliases:
        MlflowClient().set_registered_model_alias(name, alias, version)


def checked(*sources: str, **options: bool) -> dict[tuple[str, ...], str]:
    return {each.names: each.status for each in check(sources, **options)}


def test_every_version_with_an_alias_is_checked_once_with_all_its_names() -> None:
    first, second = (log(Net(hidden=4), epoch=epoch, example_input=X) for epoch in (1, 2))
    register(first, "digits", "production", "stable")
    register(second, "digits")
    register(second, "letters", "candidate")
    (one, two) = check([])
    assert one.names == ("models:/digits@production", "models:/digits@stable")
    assert two.names == ("models:/letters@candidate",)
    assert (one.status, one.reason) == ("ok", "output for the example identical")
    assert one.report.checkpoint == first.id


def test_a_checkpoint_whose_files_are_gone_fails_and_the_others_are_checked() -> None:
    first, second = (log(Net(hidden=4), epoch=epoch) for epoch in (1, 2))
    Path(first.record.artifact_uri).rename("elsewhere")
    gone, fine = check([first.id, f"runs:/{second.run_id}/epoch-2"])
    assert (gone.status, fine.status) == ("fails", "ok")
    assert "NotFoundError" in gone.reason
    assert fine.reason == "by its constructor"


def test_what_names_nothing_fails() -> None:
    log(Net(hidden=4), epoch=1)
    (found,) = check(["m-nothing"])
    assert (found.status, found.report) == ("fails", None)
    assert "There is no checkpoint with the id" in found.reason
    assert found.to_dict()["report"] is None


def test_without_weights_the_architecture_alone_is_rebuilt() -> None:
    checkpoint = log(Net(hidden=4), epoch=1, example_input=X)
    (Path(checkpoint.record.artifact_uri) / "model.safetensors").unlink()
    assert checked(checkpoint.id, weights=False) == {(checkpoint.id,): "ok"}
    assert checked(checkpoint.id) == {(checkpoint.id,): "fails"}


def judged(**changes: object) -> Checked:
    return _judged(("m-1",), LoadReport("m-1", "epoch-1", rebuilt="constructor", **changes))


def test_what_counts_as_changed_and_what_does_not() -> None:
    torch_changed = VersionChange("torch", "2.10.0", "2.13.0")
    assert judged().status == "ok"
    assert judged(example=Comparison("within tolerance")).status == "ok"
    assert judged(versions=(torch_changed,)).status == "ok"
    assert judged(diffs={"net": "-a\n+b\n"}).status == "changed"
    assert judged(example=Comparison("different")).status == "changed"
    assert judged(error="ClassNotFoundError: no", diffs={"net": ""}).status == "fails"


def test_the_reason_names_code_output_and_versions() -> None:
    found = judged(
        diffs={"net": "-a\n+b\n"},
        example=Comparison("different", "output", 1.0, "by up to 1, in output"),
        versions=(VersionChange("torch", "2.10.0", "2.13.0"),),
    )
    assert found.reason == (
        "the code of net has changed; output for the example different: by up to 1, in output; "
        "torch 2.10.0 then, 2.13.0 now"
    )
