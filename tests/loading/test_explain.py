"""The receipt of a load: made by rebuilding, and never an error."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import tracker
from tests.models import Net
from tests.training import log
from tracker import LoadReport
from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.loading import versions
from tracker.types import Comparison

pytestmark = pytest.mark.usefixtures("workplace")

ROOT = Path(__file__).parents[2]


def test_a_constructor_is_named_with_its_class_and_source() -> None:
    report = log(Net(hidden=4), epoch=6).explain()
    assert report.loads
    assert (report.rebuilt, report.device) == ("constructor", "meta")
    assert report.classes == {"tests.models:Net": "already imported"}
    assert report.source["tests.models"] == str(ROOT / "tests" / "models.py")
    assert report.diffs == {}
    assert report.packages["torch"] == torch.__version__


def test_it_reads_like_a_page() -> None:
    checkpoint = log(Net(hidden=4), epoch=6, example_input=torch.ones(1, 4))
    lines = str(checkpoint.explain()).splitlines()
    assert lines[0] == f"epoch-6 of run {checkpoint.run_id}: Net(hidden=4)"
    assert lines[1] == (
        "rebuilt: by its constructor, proven when it was logged to give the same model (on meta)"
    )
    assert "class tests.models:Net: already imported" in lines
    assert any(line.startswith("source of tests.models: kept in the checkpoint") for line in lines)
    assert any(line.startswith("made with: python ") for line in lines)
    assert lines[-2:] == ["verified: 6 tensors, 144 bytes", "example: identical"]


def test_it_survives_json() -> None:
    report = log(Net(hidden=4), epoch=6, example_input=torch.ones(1, 4)).explain()
    data = json.loads(json.dumps(report.to_dict()))
    assert data["loads"] is True
    assert LoadReport.from_dict(data) == report


def test_bytes_are_counted_only_if_they_were_compared() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    report = checkpoint.explain(verify=False)
    assert (report.tensors, report.size, report.example) == (0, 0, None)
    assert checkpoint.explain().tensors == 4


def test_a_structure_says_what_stood_in_the_way_of_the_constructor() -> None:
    model = Net(hidden=4)
    model.head = nn.Linear(4, 10)
    report = log(model, epoch=6).explain()
    assert (report.rebuilt, report.device) == ("structure", "")
    assert "torch.nn.modules.linear:Linear" in report.classes
    assert any("differs in attributes of head" in problem for problem in report.tried)
    assert "stood in the way: constructor: rebuilding gave another model" in str(report)


def test_a_model_that_needs_an_instance_says_why() -> None:
    model = Net(hidden=4)
    model.act = lambda x: x
    with pytest.warns(TrackerWarning):
        report = log(model, epoch=6).explain()
    assert not report.loads
    assert report.rebuilt is None
    assert report.error.startswith("NeedsModelInstanceError: ")
    assert "\nrebuilt: NO. NeedsModelInstanceError" in str(report)
    assert any("act" in problem for problem in report.tried)


def test_files_that_are_gone_are_reported() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    Path(checkpoint.record.artifact_uri).rename("elsewhere")
    report = checkpoint.explain()
    assert report.error.startswith("NotFoundError: The files of checkpoint")


def test_a_model_whose_own_code_raises_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Net(hidden=4), epoch=6)

    def refuse(self: Net, mode: bool = True) -> Net:
        raise RuntimeError("always in training")

    monkeypatch.setattr(Net, "train", refuse, raising=False)
    assert checkpoint.explain().error == "RuntimeError: always in training"


def test_another_output_is_in_the_report_and_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Net(hidden=4), epoch=6, example_input=torch.ones(1, 4))
    monkeypatch.setattr(Net, "forward", lambda self, x: self.head(x) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        example = checkpoint.explain().example
    assert example.verdict == "different"
    assert example.path.startswith("output[")


def test_wrong_arguments_are_the_callers_error() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    with pytest.raises(InvalidArgumentError, match="trust="):
        checkpoint.explain(trust="not a package")
    with pytest.raises(InvalidArgumentError, match="classes"):
        checkpoint.explain(classes=[Net])


def test_given_classes_are_named_as_given() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    report = checkpoint.explain(classes={"Net": Net})
    assert report.classes == {"tests.models:Net": "given by the caller"}


def test_versions_that_differ_are_noted_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    monkeypatch.setattr(versions, "_installed", lambda package: "0.9")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.load_model()
    report = checkpoint.explain()
    assert {change.package for change in report.versions} == {"python", "torch"}
    assert f"version differs: torch {torch.__version__} then, 0.9 now" in str(report)


def test_versions_are_named_where_a_load_fails_or_gives_another_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = log(Net(hidden=4), epoch=6, example_input=torch.ones(1, 4))
    monkeypatch.setattr(versions, "_installed", lambda package: "0.9")
    monkeypatch.setattr(Net, "forward", lambda self, x: x)
    with pytest.warns(TrackerWarning, match=r"Possible causes: versions differ \(python .* now\)"):
        checkpoint.load_model()

    def another(self: Net, hidden: int) -> None:
        nn.Module.__init__(self)
        self.layer = nn.Linear(hidden, hidden)

    monkeypatch.setattr(Net, "__init__", another)
    with pytest.raises(tracker.TrackerError) as raised:
        checkpoint.load_model()
    assert raised.value.__notes__[0].startswith("Versions differ: python ")
    assert {change.package for change in checkpoint.explain().versions} == {"python", "torch"}


def test_a_comparison_in_words() -> None:
    assert str(Comparison("identical")) == "identical"
    assert str(Comparison("different", reason="it fails")) == "different: it fails"
