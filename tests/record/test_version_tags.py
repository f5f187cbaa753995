"""A checkpoint as the tags of a registered version, and back."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tracker.record.version_tags import MAX_LENGTH, Card, to_card, to_record, to_tags
from tracker.types import CheckpointRecord

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
records = st.builds(
    CheckpointRecord,
    id=st.just("m-copy"),
    run_id=texts,
    experiment_id=texts,
    experiment=texts,
    name=texts,
    epoch=st.none() | st.integers(0, 2**63 - 1),
    step=st.none() | st.integers(0, 2**63 - 1),
    metrics=st.dictionaries(texts, st.floats(allow_nan=False)),
    params=st.dictionaries(texts, texts),
    tags=st.dictionaries(texts, texts),
    model_class=texts,
    model_text=texts,
    rebuild=st.sampled_from(["constructor", "structure", "torchscript", "none"]),
    size=st.integers(0, 2**63 - 1),
    created_at=st.integers(0, 2**53),
    artifact_uri=st.just("s3://bucket/registry"),
    manifest_digest=st.just("00ff"),
)


@given(records)
def test_every_checkpoint_comes_back_as_it_was(record: CheckpointRecord) -> None:
    tags = to_tags(record, "m-origin", Card())
    assert tags["tracker.checkpoint"] == "m-origin"
    assert all(isinstance(value, str) and value for value in tags.values())
    assert to_record(tags, record.artifact_uri) == record


@given(st.none() | texts, st.booleans(), st.lists(st.dictionaries(texts, texts), max_size=3))
def test_a_card_comes_back_as_it_was(
    commit: str | None, dirty: bool, data: list[dict[str, str]]
) -> None:
    card = Card(commit, dirty and commit is not None, tuple(data))
    record = replace(RECORD, epoch=1)
    assert to_card(to_tags(record, "m-origin", card)) == card


RECORD = CheckpointRecord(
    *("m-copy", "run", "1", "digits", "epoch-1", 1, None, {}, {}, {}, "a:B", "B()", "constructor"),
    *(10, 1, "s3://bucket", "00ff"),
)


def test_a_nan_comes_back() -> None:
    tags = to_tags(replace(RECORD, metrics={"loss": math.nan}), "m-origin", Card())
    found = to_record(tags, "")
    assert found is not None
    assert math.isnan(found.metrics["loss"])


def test_of_more_metrics_than_a_tag_holds_the_first_stay() -> None:
    many = {f"metric {number} {'x' * 200}": 0.5 for number in range(1000)}
    text = to_tags(replace(RECORD, metrics=many), "m-origin", Card())["tracker.metrics"]
    assert len(text) <= MAX_LENGTH
    kept = list(json.loads(text))
    assert len(kept) > 100
    assert kept == list(many)[: len(kept)]


def test_tags_of_other_origin_are_no_checkpoint() -> None:
    assert to_record({"tracker.epoch": "1", "team": "vision"}, "") is None
