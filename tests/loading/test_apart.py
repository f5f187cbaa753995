"""A model rebuilt in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.errors import InvalidArgumentError
from tracker.loading.apart import explain_apart

pytestmark = pytest.mark.usefixtures("workplace", "forking")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the tests' classes are importable
    return log(
        Net(hidden=4), epoch=6, metrics={"nan": float("nan")}, example_input=torch.ones(2, 4)
    )


def replaced(checkpoint: Checkpoint, **changes: str) -> Checkpoint:
    return Checkpoint(dataclasses.replace(checkpoint.record, **changes))


def test_the_report_is_that_of_explain_but_for_where_classes_were_found(
    checkpoint: Checkpoint,
) -> None:
    here, apart = checkpoint.explain(), explain_apart(checkpoint.record)
    assert apart.classes == {"tests.models:Net": f"imported from {ROOT / 'tests' / 'models.py'}"}
    assert dataclasses.replace(apart, classes={}) == dataclasses.replace(here, classes={})


def test_without_weights_none_are_read(checkpoint: Checkpoint) -> None:
    (Path(checkpoint.record.artifact_uri) / "model.safetensors").unlink()
    report = explain_apart(checkpoint.record, weights=False)
    assert report.loads
    assert (report.rebuilt, report.tensors, report.example) == ("constructor", 0, None)
    assert "is missing" in explain_apart(checkpoint.record).error


def test_files_elsewhere_are_not_fetched_unasked(checkpoint: Checkpoint) -> None:
    elsewhere = replaced(checkpoint, artifact_uri="http://127.0.0.1:9/artifacts")
    assert explain_apart(elsewhere.record, download=False) is None


def test_what_the_model_prints_is_no_part_of_the_answer(workplace: Path) -> None:
    (workplace / "loud.py").write_text(LOUD)
    report = explain_apart(_logged_elsewhere(workplace).record)
    assert report.loads
    assert report.example.verdict == "identical"


def test_a_process_that_dies_is_a_result(workplace: Path) -> None:
    (workplace / "loud.py").write_text(LOUD)
    checkpoint = _logged_elsewhere(workplace)
    (workplace / "loud.py").write_text(
        LOUD.replace("return", "import os; os._exit(3)\n        return")
    )
    report = explain_apart(checkpoint.record)
    assert not report.loads
    assert report.error.startswith("The process that rebuilt it ended with exit status 3.")


def test_wrong_arguments_are_the_callers_error(checkpoint: Checkpoint) -> None:
    with pytest.raises(InvalidArgumentError, match="trust="):
        explain_apart(checkpoint.record, trust=["not a package"])


LOUD = """
import sys
from torch import nn

print("imported")


class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        print("constructed")
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        print("called")
        sys.stdout.flush()
        return self.linear(x)
"""


def _logged_elsewhere(workplace: Path) -> Checkpoint:
    import tracker
    from tests.system.processes import PYTHON, succeed

    program = (
        "import torch, tracker, loud\n"
        "tracker.log_checkpoint(loud.Loud(), epoch=1, example_input=torch.ones(1, 2))\n"
    )
    succeed(PYTHON, "-c", program, directory=workplace, variables=dict(os.environ))
    return tracker.get_checkpoint(epoch=1)
