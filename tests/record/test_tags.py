from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import LoggedModel, LoggedModelStatus

from tracker.record.tags import MAX_TAG_LENGTH, create_tags, finish_tags, to_record


def test_tags_of_the_user_stay_and_ours_have_a_prefix() -> None:
    tags = create_tags(
        epoch=6,
        step=None,
        model_class="net:Net",
        model_text="Net()",
        rebuild="constructor",
        tags={"epoch": "mine"},
    )
    assert tags == {
        "epoch": "mine",
        "tracker.epoch": "6",
        "tracker.model_class": "net:Net",
        "tracker.model": "Net()",
        "tracker.rebuild": "constructor",
    }


def test_epoch_zero_is_an_epoch() -> None:
    tags = create_tags(
        epoch=0, step=0, model_class="", model_text="x" * 9000, rebuild="none", tags={}
    )
    assert tags["tracker.epoch"] == tags["tracker.step"] == "0"
    assert len(tags["tracker.model"]) == MAX_TAG_LENGTH


@given(st.dictionaries(st.text(min_size=1), st.floats()))
def test_exactly_what_mlflow_would_change_is_kept_as_text(metrics: dict[str, float]) -> None:
    tags = finish_tags(size=1, manifest_digest="ab", metrics=metrics)
    kept = json.loads(tags.get("tracker.special_metrics", "{}"))
    assert {k: repr(float(v)) for k, v in kept.items()} == {
        k: repr(v) for k, v in metrics.items() if not math.isfinite(v)
    }


def test_without_special_metrics_there_is_no_such_tag() -> None:
    assert finish_tags(size=9, manifest_digest="ab", metrics={"a": 1.0}) == {
        "tracker.size": "9",
        "tracker.manifest": "ab",
    }


@pytest.mark.parametrize(
    ("said", "taken"),
    [("1000", 1000), ("5000", 5000), ("9000000", 5000), (None, 5000)],
    ids=["delivered later", "at once", "by a clock that is ahead", "not said"],
)
def test_a_checkpoint_is_as_old_as_it_says_but_not_younger_than_mlflow_knows(
    said: str | None, taken: int
) -> None:
    model = LoggedModel(
        experiment_id="1",
        model_id="m-1",
        name="epoch-0",
        artifact_location="mlflow-artifacts:/1",
        creation_timestamp=5000,
        last_updated_timestamp=6000,
        status=LoggedModelStatus.READY,
        tags={"tracker.manifest": "ab", **({} if said is None else {"tracker.created_at": said})},
    )
    record = to_record(model, "digits")
    assert record is not None
    assert record.created_at == taken
