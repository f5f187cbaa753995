from __future__ import annotations

import pytest

from tracker.errors import FormatError
from tracker.format.fields import Field

root = Field({"a": {"b": [1, "x", -1]}, "null": None}, "checkpoint.json")


def test_a_refusal_names_the_file_the_path_and_what_was_found():
    with pytest.raises(
        FormatError, match=r"^checkpoint.json: a.b.1 must be a whole number, not 'x"
    ):
        root.at("a").at("b").items()[1].integer()


def test_a_missing_key_is_named_with_its_path():
    with pytest.raises(FormatError, match=r"a\.c is missing"):
        root.at("a").at("c")


def test_true_is_not_a_number():
    with pytest.raises(FormatError):
        Field(True, "x").integer()


def test_a_size_is_never_negative():
    with pytest.raises(FormatError):
        root.at("a").at("b").items()[2].size()


def test_null_is_an_absent_value_where_that_is_allowed():
    assert root.at("null").optional(Field.text) is None
    assert root.get("absent").optional(Field.text) is None


def test_a_huge_wrong_value_makes_a_short_message():
    with pytest.raises(FormatError) as refused:
        Field("x" * 100_000, "checkpoint.json").flag()
    assert len(str(refused.value)) < 200


def test_a_shape_of_endless_dimensions_is_refused():
    with pytest.raises(FormatError):
        Field([2**62] * 100_000, "x").shape()
