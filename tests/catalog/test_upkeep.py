"""What keeps a catalog in step with MLflow, many rows at a time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tracker.catalog import (
    Scope,
    all_ids,
    experiment_names,
    experiments,
    put,
    put_all,
    put_experiments,
    remove_all,
    remove_experiments,
    remove_runs,
    search,
    set_state,
    state,
)
from tracker.types import CheckpointRecord

from .examples import record

ALL = Scope()


def test_checkpoints_come_back_as_they_were_put_together(catalog: Engine) -> None:
    given = [
        record(number, metrics={"loss": 1.0 / number}, tags={"a": "b"}) for number in (3, 2, 1)
    ]
    assert put_all(catalog, given) == []
    assert search(catalog, ALL) == given
    assert put_all(catalog, given) == []
    assert search(catalog, ALL) == given


def test_the_older_ones_of_a_place_are_named_with_what_replaces_them(catalog: Engine) -> None:
    stored = record(1)
    put(catalog, stored)
    older, newer = (record(1, id=f"m-{n}", created_at=stored.created_at + n) for n in (7, 8))
    replaced = put_all(catalog, [newer, older])
    assert {each.record.id: each.by for each in replaced} == {"m-1": "m-8", "m-7": "m-8"}
    assert [each.record for each in replaced] == [stored, older]
    assert search(catalog, ALL) == [newer]


def test_nothing_is_put_where_nothing_is_given(catalog: Engine) -> None:
    assert put_all(catalog, []) == []


@st.composite
def histories(draw: st.DrawFn) -> list[CheckpointRecord]:
    places = st.tuples(
        st.sampled_from(["run-1", "run-2"]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 1]),
        st.sampled_from(["a:A", "b:B"]),
        st.integers(0, 3),
    )
    return [
        record(1, id=f"m-{n}", run_id=run, epoch=epoch, step=step, model_class=cls, created_at=at)
        for n, (run, epoch, step, cls, at) in enumerate(draw(st.lists(places, max_size=8)))
    ]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories(), st.randoms(use_true_random=False))
def test_together_or_one_by_one_in_any_order_is_the_same(
    catalog: Engine, history: list[CheckpointRecord], chance
) -> None:
    found = []
    for together in (True, False):
        remove_all(catalog, all_ids(catalog))
        chance.shuffle(history)
        if together:
            put_all(catalog, history)
        else:
            for each in history:
                put(catalog, each)
        found.append({each.id: each for each in search(catalog, ALL, max_results=None)})
    assert found[0] == found[1]


def test_experiments_are_entered_renamed_and_removed_with_their_checkpoints(
    catalog: Engine,
) -> None:
    put(catalog, record(1))
    put(catalog, record(2, experiment_id="8", experiment="letters", run_id="run-2"))
    put_experiments(catalog, {"7": "numbers", "9": "new"})
    assert experiments(catalog) == {"7": "numbers", "8": "letters", "9": "new"}
    assert [each.id for each in search(catalog, Scope(("numbers",)))] == ["m-1"]
    remove_experiments(catalog, ["7"])
    assert experiments(catalog) == {"8": "letters", "9": "new"}
    assert experiment_names(catalog) == ["letters"]
    assert all_ids(catalog) == {"m-2"}


def test_runs_are_removed_with_all_they_have(catalog: Engine) -> None:
    for number, run_id in enumerate(["a", "b", "a", "c"], 1):
        put(catalog, record(number, run_id=run_id))
    remove_runs(catalog, {"a", "c", "unknown"})
    assert all_ids(catalog) == {"m-2"}


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_any_number_of_checkpoints_is_removed(catalog: Engine, count: int) -> None:
    records = [record(number, metrics={}, params={}, run_id="a") for number in range(count)]
    for part in range(0, count, 1000):
        put_all(catalog, records[part : part + 1000])
    put(catalog, record(0, id="m-stays", run_id="b"))
    remove_all(catalog, {each.id for each in records})
    assert all_ids(catalog) == {"m-stays"}


def test_what_is_remembered_stays_until_it_is_remembered_anew(catalog: Engine) -> None:
    assert state(catalog, "until") is None
    for value, key in itertools.product(["1", "2"], ["until", "other"]):
        set_state(catalog, key, value)
    assert state(catalog, "until") == "2"
