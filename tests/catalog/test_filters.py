from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.catalog.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Comparison,
    Field,
    Order,
    fields_asked_for,
    parse_filter,
    parse_order,
)
from tracker.errors import FilterSyntaxError


def compare(kind: str, key: str, comparator: str, *values: object) -> Comparison:
    return Comparison(Field(kind, key), comparator, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.val_loss < 0.3", compare("metric", "val_loss", "<", 0.3)),
        ("metric.val_loss<=-1e-3", compare("metric", "val_loss", "<=", -0.001)),
        ("metrics.val/loss.best > .5", compare("metric", "val/loss.best", ">", 0.5)),
        ("metrics.`my loss` = 1", compare("metric", "my loss", "=", 1.0)),
        ('metrics."my.loss" != 1.', compare("metric", "my.loss", "!=", 1.0)),
        ("params.depth = '7'", compare("param", "depth", "=", "7")),
        ('param.depth = "7"', compare("param", "depth", "=", "7")),
        ("parameters.depth = '7'", compare("param", "depth", "=", "7")),
        ("params.name = 'it''s'", compare("param", "name", "=", "it's")),
        ('params.name = "it\'s"', compare("param", "name", "=", "it's")),
        ("tags.`a``b` LIKE '%x%'", compare("tag", "a`b", "LIKE", "%x%")),
        ("tag.a not ilike 'X_'", compare("tag", "a", "NOT ILIKE", "X_")),
        ("tags.a in ('x', 'y')", compare("tag", "a", "IN", "x", "y")),
        ("tags.a Not In ('x')", compare("tag", "a", "NOT IN", "x")),
        ("tags.a is null", compare("tag", "a", "IS NULL")),
        ("metrics.a IS  NOT\nNULL", compare("metric", "a", "IS NOT NULL")),
        ("attributes.epoch >= 3", compare("attribute", "epoch", ">=", 3)),
        ("attr.epoch IN (1, 2)", compare("attribute", "epoch", "IN", 1, 2)),
        ("epoch = 3", compare("attribute", "epoch", "=", 3)),
        ("epoch > 2.5", compare("attribute", "epoch", ">", 2.5)),
        ("epoch = 9223372036854775807", compare("attribute", "epoch", "=", 2**63 - 1)),
        ("epoch > -9223372036854775807", compare("attribute", "epoch", ">", -(2**63) + 1)),
        ("epoch < 9223372036854775808", compare("attribute", "epoch", "<", 2.0**63)),
        ("size < 99999999999999999999", compare("attribute", "size", "<", 1e20)),
        ("experiment_name = 'digits'", compare("attribute", "experiment_name", "=", "digits")),
        ("(((epoch = 3)))", compare("attribute", "epoch", "=", 3)),
        ("metrics.and > 1", compare("metric", "and", ">", 1.0)),
    ],
)
def test_a_comparison_is_understood(text: str, expected: Comparison) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_a_blank_filter_is_no_condition(blank: str) -> None:
    assert parse_filter(blank) is None


def test_and_binds_tighter_than_or_and_parentheses_tightest() -> None:
    one, two, three = (compare("attribute", "epoch", "=", n) for n in (1, 2, 3))

    assert parse_filter("epoch = 1 OR epoch = 2 and epoch = 3") == AnyOf((one, AllOf((two, three))))
    assert parse_filter("(epoch = 1 or epoch = 2) AND epoch = 3") == AllOf(
        (AnyOf((one, two)), three)
    )


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("epoch >", "", "ends too early"),
        ("epoch = 3 AND", "", "ends too early"),
        ("(epoch = 3", "", "ends too early"),
        ("epoch = 3)", ")", "not expected"),
        ("epoch = 3 epoch = 4", "epoch = 4", "not expected"),
        ("metrics.val-loss ~ 3", "~ 3", "not expected"),
        ("epoch = 3; DROP TABLE x", "; DROP", "not expected"),
        ("3 < epoch", "3 <", "not expected"),
        ("params.depth = 7", "7", "depth is text: write '7'"),
        ("params.depth < '7'", "< '7'", "params.depth is text; it can be: !=, =, ILIKE"),
        ("metrics.loss = '7'", "'7'", "is a number: write it without quotes"),
        ("metrics.loss LIKE '7'", "LIKE", "metrics.loss is a number; it can be"),
        ("epoch IN ('1')", "'1'", "is a number"),
        ("val_loss < 0.3", "val_loss", r"A metric is written metrics\.val_loss"),
        ("metricz.val_loss < 0.3", "metricz", "none of metrics, params, tags, attributes"),
        ("attributes.nothing = 'a'", "attributes", "There is no attribute 'nothing'"),
        ("epoh > 3", "epoh", r"no attribute 'epoh'\. Did you mean 'epoch'\? There are"),
        ("metrcs.loss > 3", "metrcs", "Did you mean 'metrics' or 'metric'"),
        ("params.a = 'x\0y'", "\N{REPLACEMENT CHARACTER}y'", "can't be in a database"),
        ("params.a = '\ud800'", "\N{REPLACEMENT CHARACTER}'", "can't be in a database"),
    ],
)
def test_a_mistake_is_shown_where_it_is_with_an_example(text: str, at: str, message: str) -> None:
    with pytest.raises(FilterSyntaxError, match=message) as caught:
        parse_filter(text)

    _, shown, marker, _, example = str(caught.value).splitlines()
    assert shown[marker.index("^") :].startswith(at)
    assert example == "For example: metrics.val_loss < 0.3 AND params.depth = '7' AND epoch >= 3"


def test_more_comparisons_than_a_database_takes_are_refused() -> None:
    assert parse_filter(" AND ".join(["epoch = 1"] * MAX_COMPARISONS))

    with pytest.raises(FilterSyntaxError, match="more than 100 comparisons"):
        parse_filter(" OR ".join(["epoch = 1"] * (MAX_COMPARISONS + 1)))


def test_more_values_than_a_database_takes_are_refused() -> None:
    def among(count: int) -> str:
        return f"epoch IN ({', '.join(['1'] * count)})"

    assert parse_filter(among(MAX_VALUES))

    with pytest.raises(FilterSyntaxError, match="more than 10,000 values"):
        parse_filter(among(MAX_VALUES + 1))


def test_deep_parentheses_are_no_problem() -> None:
    assert parse_filter("(" * 3_000 + "epoch = 1" + ")" * 3_000)


def test_conditions_nested_deeper_than_a_database_takes_are_refused() -> None:
    def nested(depth: int) -> str:
        joints = [" AND (" if level % 2 else " OR (" for level in range(depth)]
        return "".join(f"epoch = 1{joint}" for joint in joints) + "epoch = 1" + ")" * depth

    assert parse_filter(nested(MAX_DEPTH))

    with pytest.raises(FilterSyntaxError, match="nested more than 20 deep"):
        parse_filter(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("part", ["epoch = 1 AND ", "(", "params.a = 'x", "\0", "'", " "])
def test_ten_megabytes_are_refused_with_a_short_message(part: str) -> None:
    with pytest.raises(FilterSyntaxError, match="characters; up to 500,000 are read") as caught:
        parse_filter(part * (10_000_000 // len(part)))

    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        f"metrics.{'x' * 100_000} LIKE 'a'",
        f"params.a = '{'x' * 100_000}' OR params.a = 7",
        f"epoch = '{'x' * 100_000}'",
        "(" * 100_000,
        f"{'x' * 100_000}.a = 1",
    ],
    ids=["attribute", "metric", "text", "number", "(", "prefix"],
)
def test_a_mistake_in_a_long_filter_is_shown_with_what_is_around_it(text: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)

    assert len(str(caught.value)) < 1_000
    assert "…" in str(caught.value)


def test_a_mistake_far_into_a_filter_tells_the_character() -> None:
    text = "epoch = 1 AND " * 20 + "epoch ~ 3"

    with pytest.raises(FilterSyntaxError, match=r"\(at character 287\)") as caught:
        parse_filter(text)

    _, shown, marker, *_ = str(caught.value).splitlines()
    assert shown[marker.index("^") :] == "~ 3"


def test_the_fields_that_must_be_there_are_named_once() -> None:
    text = "metrics.a > 1 AND (params.b = 'x' OR metrics.a < 0) AND tags.c IS NULL AND epoch = 1"

    assert fields_asked_for(text) == [
        Field("metric", "a"),
        Field("param", "b"),
        Field("attribute", "epoch"),
    ]
    assert fields_asked_for("") == []


@given(st.text())
def test_any_string_parses_or_is_a_syntax_error(text: str) -> None:
    with contextlib.suppress(FilterSyntaxError):
        parse_filter(text)


FRAGMENTS = st.sampled_from(
    [
        *("metrics.loss", "params.depth", 'tags."a b"', "epoch", "attributes.name", "x.", "."),
        *("<", "<=", "=", "!=", "LIKE", "NOT", "IN", "IS", "NULL", "AND", "OR", "(", ")", ","),
        *("7", "-1e999", "'7'", "'", '"', "`", ";", "--", "''", "9" * 5_000, "\0", "\ud800"),
    ]
)


@given(st.lists(FRAGMENTS).map(" ".join))
def test_any_mix_of_words_parses_or_is_a_syntax_error(text: str) -> None:
    with contextlib.suppress(FilterSyntaxError):
        parse_filter(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_kept_as_a_quoted_value(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"

    assert parse_filter(f"params.a = {quoted}") == compare("param", "a", "=", text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_kept_as_a_quoted_key(text: str) -> None:
    quoted = "`" + text.replace("`", "``") + "`"

    assert parse_filter(f"params.{quoted} = ''") == compare("param", text, "=", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.val_loss ASC", Order(Field("metric", "val_loss"), descending=False)),
        ("metrics.`val loss` desc", Order(Field("metric", "val loss"), descending=True)),
        ("attributes.epoch DESC", Order(Field("attribute", "epoch"), descending=True)),
        ("created_at", Order(Field("attribute", "created_at"), descending=False)),
    ],
)
def test_an_order_is_understood(text: str, expected: Order) -> None:
    assert parse_order(text) == expected


@given(st.text())
def test_any_order_parses_or_is_a_syntax_error(text: str) -> None:
    with contextlib.suppress(FilterSyntaxError):
        parse_order(text)
