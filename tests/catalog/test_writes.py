from __future__ import annotations

import itertools
import math
import multiprocessing
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from tracker.catalog import Scope, by_id, count, experiment_names, open_catalog, put, remove, search
from tracker.errors import InvalidArgumentError

from .examples import record

ALL = Scope()


def test_a_checkpoint_comes_back_as_it_was_put(catalog: Engine) -> None:
    given = record(
        3,
        metrics={"val_loss": 0.125, "big": math.inf, "small": -math.inf},
        params={"depth": "7", "note": 'it\'s a "quote"; DROP TABLE — ✓'},
        tags={"my key": "a%b_c\\d\n"},
        size=2**40,
        step=None,
    )

    assert put(catalog, given) == []

    assert search(catalog, ALL) == [given]


def test_a_nan_comes_back_as_a_nan(catalog: Engine) -> None:
    put(catalog, record(1, metrics={"val_loss": math.nan}))

    [found] = search(catalog, ALL)

    assert math.isnan(found.metrics["val_loss"])


def test_a_param_of_the_greatest_length_mlflow_allows_is_kept(catalog: Engine) -> None:
    # Incompressible, so that PostgreSQL can't shorten it in an index row.
    value = "".join(chr(0x4E00 + (i * 7919) % 20_000) for i in range(6_000))
    put(catalog, record(1, params={"k" * 250: value}, tags={"t" * 250: value}))

    assert search(catalog, Scope(filter_string=f"params.{'k' * 250} = '{value}'"))
    assert not search(catalog, Scope(filter_string=f"params.{'k' * 250} = '{value[:-1]}'"))


def test_putting_a_checkpoint_again_changes_nothing(catalog: Engine) -> None:
    put(catalog, record(1))

    assert put(catalog, record(1)) == []

    assert search(catalog, ALL) == [record(1)]


def test_putting_an_id_again_replaces_all_it_had(catalog: Engine) -> None:
    put(catalog, record(1, metrics={"old": 1.0}, params={"old": "1"}, tags={"old": "1"}))
    new = record(1, metrics={"new": 2.0}, params={}, tags={"new": "2"}, epoch=9)

    assert put(catalog, new) == []

    assert search(catalog, ALL) == [new]


def test_a_newer_checkpoint_of_the_same_epoch_replaces_the_older(catalog: Engine) -> None:
    old, new = record(1), record(1, id="m-0", created_at=record(1).created_at + 1)
    put(catalog, old)

    assert put(catalog, new) == [old]

    assert search(catalog, ALL) == [new]


def test_an_older_checkpoint_put_later_is_itself_the_replaced_one(catalog: Engine) -> None:
    old, new = record(1), record(1, id="m-0", created_at=record(1).created_at + 1)
    put(catalog, new)

    assert put(catalog, old) == [old]

    assert search(catalog, ALL) == [new]


def test_of_two_made_in_the_same_millisecond_the_greater_id_stays(catalog: Engine) -> None:
    for order in itertools.permutations([record(1, id="m-a"), record(1, id="m-b")]):
        for given in order:
            put(catalog, given)

        assert [found.id for found in search(catalog, ALL)] == ["m-b"]
        remove(catalog, "m-b")


@pytest.mark.parametrize(
    "difference",
    [
        {"run_id": "run-2"},
        {"epoch": 2},
        {"epoch": None},
        {"step": 200},
        {"step": None},
        {"model_class": "models.net:Other"},
    ],
)
def test_checkpoints_that_differ_in_what_identifies_them_both_stay(
    catalog: Engine, difference: dict[str, object]
) -> None:
    put(catalog, record(1))

    assert put(catalog, replace(record(1), id="m-other", **difference)) == []

    assert count(catalog, ALL) == 2


@pytest.mark.parametrize("missing", [{"epoch": None}, {"step": None}])
def test_a_checkpoint_with_only_an_epoch_or_a_step_is_replaced_too(
    catalog: Engine, missing: dict[str, None]
) -> None:
    old = record(1, **missing)
    put(catalog, old)

    assert put(catalog, replace(old, id="m-other")) == [old]


def test_checkpoints_without_epoch_and_step_never_replace_each_other(catalog: Engine) -> None:
    for number in (1, 2):
        assert put(catalog, record(number, epoch=None, step=None)) == []

    assert count(catalog, ALL) == 2


def test_an_experiment_renamed_in_mlflow_is_renamed_for_all_its_checkpoints(
    catalog: Engine,
) -> None:
    put(catalog, record(1))

    put(catalog, record(2, experiment="numerals"))

    assert experiment_names(catalog) == ["numerals"]
    assert {found.experiment for found in search(catalog, ALL)} == {"numerals"}


def test_removing_a_checkpoint_tells_whether_it_was_there(catalog: Engine) -> None:
    put(catalog, record(1))
    put(catalog, record(2))

    assert remove(catalog, "m-1") is True
    assert remove(catalog, "m-1") is False

    assert search(catalog, ALL) == [record(2)]


def test_a_removed_checkpoint_leaves_nothing_behind(catalog: Engine) -> None:
    put(catalog, record(1, metrics={"old": 1.0}, params={"old": "1"}, tags={"old": "1"}))
    remove(catalog, "m-1")
    bare = record(1, metrics={}, params={}, tags={})

    put(catalog, bare)

    assert by_id(catalog, "m-1") == [bare]


@pytest.mark.parametrize("change", [{"name": "\ud800"}, {"epoch": 2**63}])
def test_a_value_that_no_database_holds_is_refused_and_nothing_is_changed(
    catalog: Engine, change: dict[str, object]
) -> None:
    put(catalog, record(1))

    with pytest.raises(InvalidArgumentError, match="can't be kept in the catalog"):
        put(catalog, record(1, experiment="numerals", **change))

    assert search(catalog, ALL) == [record(1)]


def _put_at_once(uri: str, start: object, numbers: list[int]) -> None:
    engine = open_catalog(uri)
    start.wait(30)  # type: ignore[attr-defined]
    for number in numbers:
        put(engine, record(1, id=f"m-{number}", created_at=number))


def test_processes_that_put_the_same_epoch_at_once_leave_the_newest_alone(
    catalog: Engine, catalog_uri: str
) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    processes = [
        spawn.Process(target=_put_at_once, args=(catalog_uri, start, numbers))
        for numbers in ([*range(10, 30, 2)], [*range(11, 31, 2)])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert [found.id for found in search(catalog, ALL)] == ["m-29"]
