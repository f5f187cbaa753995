"""What a logged model is to whoever deletes: a checkpoint, something on its way, or a holder."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import LoggedModel, LoggedModelStatus, LoggedModelTag

from tracker.record.inventory import holding_of

OURS = {"tracker.model_class": "net:Net"}
WHOLE = {**OURS, "tracker.manifest": "0" * 64}


def model(tags: dict[str, str], **changes: Any) -> LoggedModel:
    known = {
        "experiment_id": "1",
        "model_id": "m-1",
        "name": "epoch-1",
        "artifact_location": "/store/models/m-1/artifacts",
        "creation_timestamp": 1,
        "last_updated_timestamp": 2,
        "model_type": "tracker.checkpoint",
        "source_run_id": "r",
        "status": LoggedModelStatus.READY,
        "tags": [LoggedModelTag(key, value) for key, value in tags.items()],
    }
    return LoggedModel(**{**known, **changes})


@pytest.mark.parametrize(
    ("tags", "status", "condition", "needs_others"),
    [
        (WHOLE, "READY", "checkpoint", True),
        (OURS, "PENDING", "unfinished", True),
        (OURS, "FAILED", "failed", False),
        ({**WHOLE, "tracker.replaced_by": "m-2"}, "READY", "replaced", False),
        ({**WHOLE, "tracker.replaced_by": "m-2", "tracker.kept": "x"}, "READY", "holder", False),
        # Nobody knows what it needs, so nothing that it names may go.
        ({**WHOLE, "tracker.size": "edited"}, "READY", "checkpoint", True),
    ],
)
def test_what_it_is(tags: dict[str, str], status: str, condition: str, needs_others: bool) -> None:
    found = holding_of(model(tags, status=LoggedModelStatus(status)), "digits")
    assert found is not None
    assert (found.condition, found.needs_others) == (condition, needs_others)


@pytest.mark.parametrize(
    "other",
    [
        model({}),
        model(WHOLE, model_type="sklearn"),
        model({**WHOLE, "tracker.copy_of": "m-2"}),
        model({"tracker.manifest": "0" * 64}),
    ],
    ids=["no tags", "another type", "of a registered version", "no class"],
)
def test_what_is_none_of_ours_is_none(other: LoggedModel) -> None:
    assert holding_of(other, "digits") is None


@pytest.mark.parametrize(
    ("value", "keep"),
    [("true", True), ("for the paper", True), ("false", False), ("No", False), ("", False)],
)
def test_the_user_says_by_a_tag_that_it_stays(value: str, keep: bool) -> None:
    found = holding_of(model({**WHOLE, "tracker.keep": value}), "digits")
    assert found is not None
    assert found.keep is keep


def test_what_it_refers_to_and_which_of_its_files_stay() -> None:
    tags = {"tracker.references": "m-2,m-3", "tracker.kept_files": "model.safetensors"}
    found = holding_of(model({**WHOLE, **tags}), "digits")
    assert found is not None
    assert found.references == {"m-2", "m-3"}
    assert found.kept_files == {"model.safetensors"}
    plain = holding_of(model(WHOLE), "digits")
    assert plain is not None
    assert (plain.references, plain.kept_files) == (frozenset(), None)
