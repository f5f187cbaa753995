"""The checkpoints on the curves of runs, and how many of them come."""

from __future__ import annotations

import math

from sqlalchemy import Engine

from tracker.catalog import Scope, curve_points, put, put_all

from .examples import record
from .test_per_run import ALL, of_run


def epochs(catalog: Engine, runs: list[str], most: int = 100, **more: object) -> list[int | None]:
    found = curve_points(catalog, ALL, "loss", runs, most_per_run=most, **more)  # type: ignore[arg-type]
    return [point.epoch for run in found.values() for point in run.points]


def test_the_points_of_a_run_come_in_the_order_of_its_epochs_and_of_time(catalog: Engine) -> None:
    put_all(catalog, [*of_run(2, 0.5, 0.3), *of_run(1, 0.9)])
    put(catalog, record(1, id="m-late", run_id="run-2", step=120, metrics={"loss": 0.1}))
    put(catalog, record(0, id="m-none", run_id="run-2", epoch=None, metrics={"loss": 0.2}))

    found = curve_points(catalog, ALL, "loss", ["run-2"], most_per_run=100)

    assert [(p.checkpoint_id, p.epoch, p.value) for p in found["run-2"].points] == [
        ("m-none", None, 0.2),
        ("m-2-0", 0, 0.5),
        ("m-2-1", 1, 0.3),
        ("m-late", 1, 0.1),
    ]


def test_a_nan_is_a_point_without_a_number(catalog: Engine) -> None:
    put_all(catalog, of_run(1, 0.5, math.nan))

    found = curve_points(catalog, ALL, "loss", ["run-1"], most_per_run=100)

    first, second = found["run-1"].points
    assert first.value == 0.5
    assert math.isnan(second.value)


def test_of_a_long_run_some_points_come_and_the_last_and_those_that_are_wanted(
    catalog: Engine,
) -> None:
    put_all(catalog, [*of_run(1, *[0.5] * 100), *of_run(2, *[0.5] * 9)])

    assert epochs(catalog, ["run-1", "run-2"], 10) == [*range(0, 100, 10), 99, *range(9)]
    assert epochs(catalog, ["run-1"], 3, kept=["m-1-7"]) == [0, 7, 34, 68, 99]
    found = curve_points(catalog, ALL, "loss", ["run-1", "run-2"], most_per_run=10)
    assert {run: of_run.total for run, of_run in found.items()} == {"run-1": 100, "run-2": 9}


def test_points_are_those_that_match_the_filter(catalog: Engine) -> None:
    put_all(catalog, of_run(1, 0.5, 0.3, 0.9))

    low = Scope(filter_string="metrics.loss < 0.6")
    found = curve_points(catalog, low, "loss", ["run-1"], most_per_run=100)

    assert [point.epoch for point in found["run-1"].points] == [0, 1]
    assert curve_points(catalog, ALL, "loss", [], most_per_run=100) == {}


def test_runs_that_may_not_be_seen_have_no_points(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, 0.5), *of_run(2, 0.4, experiment_id="8", experiment="letters")])

    seen = Scope(visible=frozenset({"8"}))

    assert list(curve_points(catalog, seen, "loss", ["run-1", "run-2"], most_per_run=9)) == [
        "run-2"
    ]
