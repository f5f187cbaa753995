from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from tracker.errors import RecordError
from tracker.record import experiments

pytestmark = pytest.mark.usefixtures("workplace")


def test_active_experiments_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "_PAGE", 1)
    made = mlflow.create_experiment("digits")
    gone = mlflow.create_experiment("gone")
    mlflow.delete_experiment(gone)
    assert experiments.names() == {"0": "Default", made: "digits"}


def test_the_artifact_location_is_that_of_the_experiment_in_force(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert experiments.artifact_location() == f"{workplace}/mlruns/0"
    mlflow.create_experiment("digits", artifact_location=str(workplace / "elsewhere"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    assert experiments.artifact_location().endswith("elsewhere")


def test_a_store_that_answers_says_what_is_at_its_top(workplace: Path) -> None:
    (workplace / "store").mkdir()
    assert experiments.list_artifacts(str(workplace / "store")) == "answers; 0 entries at the top"
    (workplace / "store" / "a").touch()
    assert experiments.list_artifacts(str(workplace / "store")) == "answers; 1 entry at the top"


def test_a_store_that_does_not_answer_is_a_record_error() -> None:
    with pytest.raises(RecordError, match="listing the artifacts"):
        experiments.list_artifacts("nonsense://bucket")
