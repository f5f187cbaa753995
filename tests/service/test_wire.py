"""Checkpoints and errors over the wire are those that were sent."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.examples import record
from tracker.errors import (
    CatalogDamagedError,
    CatalogError,
    FilterSyntaxError,
    NotFoundError,
    StorageError,
    TrackerError,
)
from tracker.service.wire import (
    error_from_json,
    error_to_json,
    name_of,
    number_from_json,
    number_to_json,
    record_from_json,
    record_to_json,
)

WHOLE = st.none() | st.integers(-(2**63), 2**63 - 1)


@given(
    epoch=WHOLE,
    step=WHOLE,
    metrics=st.dictionaries(st.text(), st.floats()),
    params=st.dictionaries(st.text(), st.text()),
)
def test_a_checkpoint_arrives_as_it_was(
    epoch: int | None, step: int | None, metrics: dict[str, float], params: dict[str, str]
) -> None:
    sent = replace(record(1), epoch=epoch, step=step, metrics=metrics, params=params)
    text = json.dumps(record_to_json(sent), allow_nan=False)
    arrived = record_from_json(json.loads(text))
    assert repr(arrived) == repr(sent)  # a NaN is not equal to itself


@pytest.mark.parametrize("text", ["nan", "inf", "1.5", "", "NaN "])
def test_no_other_text_is_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        number_from_json(text)
    assert number_from_json(number_to_json(-math.inf)) == -math.inf


def test_fields_that_are_not_known_yet_are_ignored() -> None:
    assert record_from_json({**record_to_json(record(1)), "new": 1}) == record(1)


@pytest.mark.parametrize("data", [None, [], {}, {"metrics": None}, "text", {"metrics": {"a": "b"}}])
def test_what_is_no_checkpoint_is_said_to_be_none(data: object) -> None:
    with pytest.raises(CatalogError, match="no checkpoint"):
        record_from_json(data)


def test_an_error_is_raised_as_what_it_was() -> None:
    for cls in (NotFoundError, FilterSyntaxError):
        error = error_from_json(error_to_json(cls.__name__, "this"))
        assert type(error) is cls
        assert str(error) == "this"


@pytest.mark.parametrize(
    "data",
    [None, {}, {"error": "SystemExit", "message": "x"}, {"error": "NotFoundError", "message": 1}],
)
def test_nothing_else_is_raised_at_a_client(data: object) -> None:
    assert error_from_json(data) is None


@pytest.mark.parametrize(
    ("error", "known_as"),
    [
        (FilterSyntaxError("this"), FilterSyntaxError),
        (CatalogDamagedError("this"), CatalogError),
        (StorageError("this"), CatalogError),
    ],
)
def test_an_error_that_clients_do_not_know_reaches_them_as_one_that_they_do(
    error: TrackerError, known_as: type[TrackerError]
) -> None:
    assert type(error_from_json(error_to_json(name_of(error), "this"))) is known_as
