"""Which runs are drawn, and where their checkpoints lie."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.examples import record
from tests.catalog.test_per_run import of_run
from tracker import catalog
from tracker.catalog import Engine, Point, Scope
from tracker.server.curves import (
    MOST_POINTS,
    MOST_RUNS,
    choose_axis,
    drawing,
    make_chart,
    positions,
)


def point(epoch: int | None, step: int | None = None) -> Point:
    return Point("run", f"m-{epoch}-{step}", "name", epoch, step, 0, 0.5)


def test_the_axis_counts_epochs_where_all_have_one_else_steps_else_checkpoints() -> None:
    assert choose_axis([[point(1), point(2, 20)]]) == "epoch"
    assert choose_axis([[point(1, 10)], [point(None, 20)]]) == "step"
    assert choose_axis([[point(1), point(None, 20)]]) == "checkpoint"
    assert positions([point(None), point(None)], "checkpoint") == (1.0, 2.0)


def test_several_checkpoints_of_an_epoch_lie_side_by_side() -> None:
    points = [point(0), point(1, 10), point(1, 20), point(2)]

    assert positions(points, "epoch") == (0.0, 1.0, 1.5, 2.0)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_no_dot_hides_another(epochs: list[int]) -> None:
    placed = positions([point(epoch) for epoch in sorted(epochs)], "epoch")

    assert len(set(placed)) == len(epochs)
    assert list(placed) == sorted(placed)
    assert [math.floor(each) for each in placed] == sorted(epochs)


def test_the_best_runs_are_drawn_and_the_others_counted(engine: Engine) -> None:
    runs = [of_run(number, 1.0 + number, 0.5 + number) for number in range(MOST_RUNS + 5)]
    catalog.put_all(engine, [each for run in runs for each in run])

    chart = make_chart(engine, Scope(), "loss", "min")

    assert [curve.run_id for curve in chart.curves] == [f"run-{n}" for n in range(MOST_RUNS)]
    assert chart.best is not None
    assert chart.best.id == "m-0-1"
    assert (chart.runs, chart.dots, chart.thinned) == (MOST_RUNS + 5, 2 * MOST_RUNS, False)


def test_without_a_direction_the_newest_runs_are_drawn_and_none_is_best(engine: Engine) -> None:
    catalog.put_all(engine, [*of_run(1, 0.5), *of_run(2, 0.1, created_at=2_000_000_000_000)])

    chart = make_chart(engine, Scope(), "loss", None)

    assert [curve.run_id for curve in chart.curves] == ["run-2", "run-1"]
    assert chart.best is None


def test_a_long_run_keeps_its_best_and_its_last_checkpoint(engine: Engine) -> None:
    losses = [float(MOST_POINTS * 2 - epoch) for epoch in range(MOST_POINTS + 2)]
    losses[4_321] = 0.5
    catalog.put_all(engine, of_run(1, *losses))

    chart = make_chart(engine, Scope(), "loss", "min")

    ids = [each.checkpoint_id for each in chart.curves[0].points]
    assert len(ids) <= MOST_POINTS
    assert {"m-1-4321", f"m-1-{MOST_POINTS + 1}"} <= set(ids)
    assert chart.thinned


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.7e308])
def test_what_is_no_finite_number_is_a_gap_and_survives_json(engine: Engine, value: float) -> None:
    catalog.put_all(engine, of_run(1, 0.5, value, 0.25))

    chart = make_chart(engine, Scope(), "loss", "min")
    drawn: Any = drawing(chart)

    assert drawn["curves"][0]["y"] == [0.5, None, 0.25]
    assert (chart.gaps, chart.dots) == (1, 2)


def test_values_of_different_magnitudes_have_a_logarithmic_axis(engine: Engine) -> None:
    catalog.put_all(engine, of_run(1, 100.0, 0.1))
    catalog.put(engine, record(7, id="m-7", run_id="run-1", metrics={"flat": 1.0, "signed": -1.0}))
    wide, flat, signed = (
        make_chart(engine, Scope(), metric, "min") for metric in ("loss", "flat", "signed")
    )

    assert wide.is_logarithmic("")
    assert not wide.is_logarithmic("linear")
    assert not flat.is_logarithmic("")
    assert flat.is_logarithmic("log")
    assert not signed.is_logarithmic("log")
