"""What filters find, on every database."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tracker.catalog import Scope, best, count, put, search

from .examples import record

THREE = (
    record(1, metrics={"loss": 0.1}, params={"depth": "7"}, tags={"my key": "Axb"}),
    record(2, metrics={"loss": math.nan}, params={"depth": "10"}, tags={"my key": "a%b"}),
    record(3, metrics={"other": math.inf}, params={}, tags={"my key": "a\\b"}, epoch=None),
)


def found(catalog: Engine, filter_string: str) -> set[str]:
    return {checkpoint.id for checkpoint in search(catalog, Scope(filter_string=filter_string))}


@pytest.mark.parametrize(
    ("filter_string", "expected"),
    [
        ("metrics.loss < 0.3", "1"),
        ("metrics.loss >= 0.1", "1"),
        ("metrics.loss = 0.1", "1"),
        ("metrics.other > 1e308", "3"),
        ("metrics.other = 1e999", "3"),
        ("params.depth = '7'", "1"),
        ("params.depth != '7'", "2"),
        ("params.depth IN ('7', '10', '11')", "12"),
        ("params.depth NOT IN ('7')", "2"),
        ("params.depth LIKE '1_'", "2"),
        ("params.depth NOT LIKE '1_'", "1"),
        ("tags.`my key` LIKE 'a%'", "23"),
        ("tags.`my key` LIKE 'A%'", "1"),
        ("tags.`my key` ILIKE 'A%B'", "123"),
        ("tags.`my key` ILIKE '_X_'", "1"),
        ("tags.`my key` LIKE 'a\\b'", "3"),
        ("tags.`my key` LIKE 'a\\%'", "3"),
        ("tags.`my key` LIKE '%\\'", ""),
        ("epoch >= 2", "2"),
        ("epoch > 1.5", "2"),
        ("epoch < 1.5", "1"),
        ("epoch != 1", "2"),
        ("epoch NOT IN (1)", "2"),
        ("epoch < 99999999999999999999", "12"),
        ("epoch > -99999999999999999999", "12"),
        ("epoch IS NULL", "3"),
        ("epoch IS NOT NULL", "12"),
        ("step IN (100, 300)", "13"),
        ("name = 'epoch-1' OR name LIKE 'epoch-3'", "13"),
        ("id IN ('m-1', 'm-9')", "1"),
        ("run_id = 'run-1' AND experiment_id = '7'", "123"),
        ("experiment_name = 'digits'", "123"),
        ("experiment_name LIKE 'D%'", ""),
        ("model_class LIKE '%:Net' AND rebuild = 'constructor'", "123"),
        ("size > 999 AND size < 1001", "123"),
        ("created_at > 1700000001000", "23"),
        ("params.depth = '7' OR metrics.other > 0 AND epoch IS NULL", "13"),
        ("(params.depth = '7' OR metrics.other > 0) AND epoch IS NULL", "3"),
    ],
)
def test_a_filter_finds(catalog: Engine, filter_string: str, expected: str) -> None:
    for given in THREE:
        put(catalog, given)

    assert found(catalog, filter_string) == {f"m-{number}" for number in expected}


@pytest.mark.parametrize("comparator", ["=", "!=", "<", "<=", ">", ">=", "IN (0.5)", "NOT IN (0)"])
@pytest.mark.parametrize("metrics", [{}, {"loss": math.nan}], ids=["absent", "nan"])
def test_no_comparison_with_an_absent_metric_or_a_nan_is_true(
    catalog: Engine, comparator: str, metrics: dict[str, float]
) -> None:
    put(catalog, record(1, metrics=metrics))
    value = "" if "(" in comparator else " 0.5"

    assert found(catalog, f"metrics.loss {comparator}{value}") == set()


@pytest.mark.parametrize(
    "comparator", ["= 'a'", "!= 'a'", "LIKE '%'", "NOT LIKE 'a'", "IN ('a')", "NOT IN ('a')"]
)
@pytest.mark.parametrize("prefix", ["params", "tags"])
def test_no_comparison_with_an_absent_param_or_tag_is_true(
    catalog: Engine, prefix: str, comparator: str
) -> None:
    put(catalog, record(1, params={}, tags={}))

    assert found(catalog, f"{prefix}.x {comparator}") == set()


@pytest.mark.parametrize("prefix", ["metrics", "params", "tags"])
def test_absence_is_asked_for_with_is_null(catalog: Engine, prefix: str) -> None:
    put(catalog, record(1, metrics={"x": math.nan}, params={"x": ""}, tags={"x": ""}))
    put(catalog, record(2, metrics={}, params={}, tags={}))

    assert found(catalog, f"{prefix}.x IS NULL") == {"m-2"}
    assert found(catalog, f"{prefix}.x IS NOT NULL") == {"m-1"}


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE tracker_checkpoints; --",
    '" OR ""="',
    "` OR 1=1 --",
    ":param",
    "%(x)s",
    "%s",
    "?",
    "$1",
    "\\'; --",
    "{0}",
]


@pytest.mark.parametrize("attempt", INJECTIONS)
def test_an_injection_stays_a_value_and_a_key(catalog: Engine, attempt: str) -> None:
    put(catalog, record(1, params={attempt: attempt}, metrics={attempt: 1.0}))
    put(catalog, record(2))
    value = "'" + attempt.replace("'", "''") + "'"
    key = "`" + attempt.replace("`", "``") + "`"

    assert found(catalog, f"params.{key} = {value}") == {"m-1"}
    assert found(catalog, f"metrics.{key} = 1") == {"m-1"}
    assert found(catalog, f"name = {value}") == set()
    assert best(catalog, Scope(run_id=attempt), attempt, "min") is None
    ordered = search(catalog, Scope(("digits",)), order_by=[f"metrics.{key} DESC"])
    assert [checkpoint.id for checkpoint in ordered] == ["m-1", "m-2"]
    assert count(catalog, Scope((attempt,))) == 0


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@hypothesis_given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_found_as_itself_and_as_nothing_else(catalog: Engine, text: str) -> None:
    put(catalog, record(1, params={"text": text}))
    put(catalog, record(2, params={"text": f"{text}!"}))
    value = "'" + text.replace("'", "''") + "'"

    assert found(catalog, f"params.text = {value}") == {"m-1"}
    assert found(catalog, f"params.text IN ({value})") == {"m-1"}
    assert found(catalog, f"params.text != {value}") == {"m-2"}


def test_as_many_comparisons_as_allowed_can_be_asked_for(catalog: Engine) -> None:
    put(catalog, record(1))
    for joint in ("AND", "OR"):
        for comparison in ("metrics.val_loss > 0", "params.depth = '7'", "epoch = 1"):
            assert found(catalog, f" {joint} ".join([comparison] * 100)) == {"m-1"}
