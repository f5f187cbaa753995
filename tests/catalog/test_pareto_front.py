"""The checkpoints that no other is better than in every metric."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tracker.catalog import Scope, pareto, put_all
from tracker.catalog.pareto_front import Point, front
from tracker.types import CheckpointRecord

from .examples import record

MODES = {"loss": "min", "accuracy": "max"}


def with_values(*pairs: tuple[float, float]) -> list[CheckpointRecord]:
    return [
        record(number, metrics={"loss": loss, "accuracy": accuracy})
        for number, (loss, accuracy) in enumerate(pairs)
    ]


def ids(catalog: Engine, modes: dict[str, str], scope: Scope | None = None) -> list[str]:
    found = pareto(catalog, scope or Scope(), modes)  # type: ignore[arg-type]
    return [checkpoint.id for checkpoint in found]


def test_only_those_are_left_that_none_beats(catalog: Engine) -> None:
    put_all(catalog, with_values((0.1, 0.5), (0.2, 0.9), (0.2, 0.6), (0.3, 0.8), (0.4, 0.95)))

    assert ids(catalog, MODES) == ["m-0", "m-1", "m-4"]
    assert ids(catalog, {"accuracy": "max", "loss": "min"}) == ["m-4", "m-1", "m-0"]
    assert ids(catalog, {"loss": "max", "accuracy": "min"}) == ["m-4", "m-3", "m-2", "m-0"]


def test_equal_ones_are_all_kept_the_earlier_first(catalog: Engine) -> None:
    put_all(catalog, with_values((0.1, 0.9), (0.1, 0.9), (0.1, 0.8), (0.2, 0.9)))

    assert ids(catalog, MODES) == ["m-0", "m-1"]


def test_a_nan_or_an_absent_metric_is_neither_in_it_nor_better(catalog: Engine) -> None:
    put_all(
        catalog,
        [
            *with_values((0.0, math.nan), (math.nan, 1.0), (0.5, 0.5)),
            record(8, metrics={"loss": 0.0}),
            record(9, metrics={"accuracy": 1.0}),
        ],
    )

    assert ids(catalog, MODES) == ["m-2"]
    assert ids(catalog, {"loss": "min", "unknown": "min"}) == []


def test_infinities_are_numbers(catalog: Engine) -> None:
    put_all(catalog, with_values((math.inf, math.inf), (-math.inf, -math.inf), (0.0, -math.inf)))

    assert ids(catalog, MODES) == ["m-1", "m-0"]


def test_what_is_outside_the_scope_beats_none(catalog: Engine) -> None:
    put_all(catalog, with_values((0.1, 0.9), (0.2, 0.8), (0.3, 0.85)))

    assert ids(catalog, MODES, Scope(("digits",), "run-1", "epoch > 0")) == ["m-1", "m-2"]


def test_three_metrics_are_compared_like_two(catalog: Engine) -> None:
    put_all(
        catalog,
        [
            record(number, metrics=dict(zip("abc", map(float, values), strict=True)))
            for number, values in enumerate([(1, 1, 3), (1, 2, 2), (2, 1, 3), (3, 3, 1), (1, 2, 2)])
        ],
    )

    assert ids(catalog, dict.fromkeys("abc", "min")) == ["m-0", "m-1", "m-4", "m-3"]


VALUES = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf])


@pytest.mark.parametrize("dimensions", [2, 3])
@given(data=st.data())
def test_the_front_is_what_comparing_all_with_all_gives(
    dimensions: int, data: st.DataObject
) -> None:
    points: list[Point] = sorted(
        data.draw(st.lists(st.tuples(*[VALUES] * dimensions), max_size=12))  # type: ignore[arg-type]
    )
    named = [(str(number), point) for number, point in enumerate(points)]

    def beaten(point: Point) -> bool:
        return any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points
        )

    expected = [name for name, point in named if not beaten(point)]
    assert list(front(named)) == expected
    if points:
        assert list(front(named, min(point[1] for point in points))) == expected
