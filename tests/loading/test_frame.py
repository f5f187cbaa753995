"""Checkpoints as a pandas DataFrame, as ``mlflow.search_runs`` makes one of runs."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import mlflow
import pandas
import pytest

import tracker
from tests.catalog.examples import record
from tests.training import log
from tracker.errors import InvalidArgumentError
from tracker.loading.frame import to_frame

LARGEST = 2**63 - 1


def test_columns_are_attributes_then_metrics_params_and_tags_by_their_names() -> None:
    frame = to_frame(
        [
            record(1, metrics={"b": 0.5, "a": math.nan}, params={"depth": "7"}),
            record(2, metrics={"b": math.inf}, params={}, tags={"note": "x"}, epoch=None),
        ]
    )

    assert list(frame.columns) == [
        *("id", "run_id", "experiment_id", "experiment_name", "name", "epoch", "step"),
        *("created_at", "size", "model_class", "model_text", "rebuild", "artifact_uri"),
        *("metrics.a", "metrics.b", "params.depth", "tags.note"),
    ]
    assert list(frame["id"]) == ["m-1", "m-2"]
    assert list(frame["experiment_name"]) == ["digits", "digits"]
    assert list(frame["metrics.b"]) == [0.5, math.inf]
    assert frame["metrics.a"].isna().all()
    assert list(frame["params.depth"]) == ["7", None]
    assert list(frame["tags.note"]) == [None, "x"]
    assert frame["epoch"][0] == 1
    assert frame["epoch"].isna()[1]


def test_whole_numbers_stay_whole_and_times_are_times() -> None:
    frame = to_frame([record(1, epoch=LARGEST, step=None, size=LARGEST), record(2, step=None)])

    assert (frame["epoch"][0], frame["size"][0]) == (LARGEST, LARGEST)
    assert frame["step"].isna().all()
    assert frame["created_at"][0] == pandas.Timestamp("2023-11-14 22:13:21", tz="UTC")


def test_nothing_is_a_frame_without_rows() -> None:
    frame = to_frame([])

    assert len(frame) == 0
    assert {"id", "epoch", "created_at", "model_class"} <= set(frame.columns)


@pytest.mark.usefixtures("workplace")
def test_a_search_returns_a_frame_whose_columns_are_those_of_mlflow_and_more() -> None:
    with mlflow.start_run():
        mlflow.set_tag("note", "x")
        log(epoch=1, metrics={"val_loss": 0.25}, tags={"note": "x"})

    frame: Any = tracker.search_checkpoints("metrics.val_loss < 1", output_format="pandas")

    runs: Any = mlflow.search_runs()
    shared = {"run_id", "experiment_id", "artifact_uri", "metrics.val_loss", "tags.note"}
    assert shared <= set(frame.columns) & set(runs.columns)
    assert frame["run_id"][0] == runs["run_id"][0]
    assert frame["metrics.val_loss"][0] == runs["metrics.val_loss"][0]
    assert len(tracker.search_checkpoints("epoch > 9", output_format="pandas")) == 0


@pytest.mark.usefixtures("workplace")
def test_another_format_is_refused() -> None:
    log(epoch=1)

    with pytest.raises(InvalidArgumentError, match="expected 'list' or 'pandas'"):
        tracker.search_checkpoints(output_format="polars")  # type: ignore[call-overload]


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(InvalidArgumentError, match="pip install pandas"):
        to_frame([])


def test_a_search_for_a_list_does_not_import_pandas(workplace: object) -> None:
    log(epoch=1)
    script = "import sys, tracker; tracker.search_checkpoints(); print('pandas' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
