"""The best checkpoint of every run, and the values from which a sparkline is drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tracker.catalog import Scope, best, best_of_each_run, history, put, put_all
from tracker.errors import InvalidArgumentError
from tracker.types import CheckpointRecord

from .examples import record

ALL = Scope()


def of_run(run: int, *losses: float, **more: Any) -> list[CheckpointRecord]:
    return [
        record(epoch, id=f"m-{run}-{epoch}", run_id=f"run-{run}", metrics={"loss": loss}, **more)
        for epoch, loss in enumerate(losses)
    ]


def best_ids(catalog: Engine, scope: Scope = ALL, mode: str = "min", **page: Any) -> list[str]:
    found = best_of_each_run(catalog, scope, "loss", mode, **page)  # type: ignore[arg-type]
    return [checkpoint.id for checkpoint in found]


def test_the_best_of_each_run_comes_with_the_best_run_first(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, 0.5, 0.3, 0.9), *of_run(2, 0.4, 0.1), *of_run(3, 0.2)])

    assert best_ids(catalog) == ["m-2-1", "m-3-0", "m-1-1"]
    assert best_ids(catalog, mode="max") == ["m-1-2", "m-2-0", "m-3-0"]


def test_a_run_without_a_number_is_left_out_and_a_nan_never_wins(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, math.nan), *of_run(2, math.nan, 0.7)])
    put(catalog, record(1, run_id="run-3", metrics={"accuracy": 1.0}))

    assert best_ids(catalog) == ["m-2-1"]
    assert best_of_each_run(catalog, ALL, "unknown", "min") == []


def test_infinities_win_and_lose_as_numbers_do(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, math.inf, 0.0), *of_run(2, -math.inf), *of_run(3, math.inf)])

    assert best_ids(catalog) == ["m-2-0", "m-1-1", "m-3-0"]
    assert best_ids(catalog, mode="max") == ["m-1-0", "m-3-0", "m-2-0"]


def test_ties_go_to_the_earlier_epoch_within_a_run_and_between_runs(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, 0.9, 0.5, 0.5), *of_run(2, 0.5, 0.5)])
    put(catalog, record(9, id="m-none", run_id="run-1", epoch=None, metrics={"loss": 0.5}))

    assert best_ids(catalog) == ["m-2-0", "m-1-1"]


def test_it_stays_within_experiments_run_and_filter(catalog: Engine) -> None:
    letters = {"experiment_id": "8", "experiment": "letters"}
    signs = {"experiment_id": "9", "experiment": "signs"}
    put_all(
        catalog,
        [
            *of_run(1, 0.5, 0.3),
            *of_run(2, 0.4),
            *of_run(3, 0.1, **letters),
            *of_run(4, 0.2, **signs),
        ],
    )

    assert best_ids(catalog, Scope(("digits",))) == ["m-1-1", "m-2-0"]
    assert best_ids(catalog, Scope(("digits", "letters"))) == ["m-3-0", "m-1-1", "m-2-0"]
    assert best_ids(catalog, Scope(("unknown",))) == []
    assert best_ids(catalog, Scope(run_id="run-1")) == ["m-1-1"]
    assert best_ids(catalog, Scope(("letters",), run_id="run-1")) == []
    assert best_ids(catalog, Scope(filter_string="epoch < 1")) == [
        "m-3-0",
        "m-4-0",
        "m-2-0",
        "m-1-0",
    ]
    assert best_ids(catalog, Scope(filter_string="params.depth = '8'")) == []
    assert best_ids(catalog, Scope(filter_string="params.depth = '7' AND epoch = 1")) == ["m-1-1"]


def test_it_pages_through_the_runs(catalog: Engine) -> None:
    put_all(catalog, [each for run in range(5) for each in of_run(run, run / 10)])

    assert best_ids(catalog, limit=2) == ["m-0-0", "m-1-0"]
    assert best_ids(catalog, limit=2, offset=4) == ["m-4-0"]
    assert len(best_ids(catalog, limit=None)) == 5


def test_another_mode_is_refused(catalog: Engine) -> None:
    with pytest.raises(InvalidArgumentError, match="'min' or 'max'"):
        best_ids(catalog, mode="best")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@hypothesis_given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 4), st.sampled_from([0.1, 0.2, math.nan, math.inf])
        ),
        max_size=12,
    ),
    st.sampled_from(["min", "max"]),
)
def test_it_is_the_best_of_every_run_by_itself(
    catalog: Engine, values: list[tuple[int, int, float]], mode: str
) -> None:
    experiment = f"property {len(values)} {hash(tuple(map(repr, values)))} {mode}"
    records = [
        record(
            number,
            id=f"{experiment}-{number}",
            experiment_id=experiment,
            experiment=experiment,
            run_id=f"{experiment}-{run}",
            epoch=epoch,
            step=number,
            metrics={"loss": value},
        )
        for number, (run, epoch, value) in enumerate(values)
    ]
    put_all(catalog, records)
    scope = Scope((experiment,))

    found = best_of_each_run(catalog, scope, "loss", mode)  # type: ignore[arg-type]

    each = {
        run: best(catalog, Scope((experiment,), run), "loss", mode)  # type: ignore[arg-type]
        for run in {record.run_id for record in records}
    }
    assert {checkpoint.run_id: checkpoint for checkpoint in found} == {
        run: checkpoint for run, checkpoint in each.items() if checkpoint is not None
    }
    losses = [checkpoint.metrics["loss"] for checkpoint in found]
    assert losses == sorted(losses, reverse=mode == "max")


def test_a_history_ascends_by_epoch_and_keeps_nan(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, 0.5, math.nan, 0.3), *of_run(2, 0.4)])
    put(catalog, record(7, id="m-none", run_id="run-2", epoch=None, metrics={"loss": 9.0}))

    found = history(catalog, ["run-2", "run-1", "run-0"], "loss")

    assert list(found) == ["run-2", "run-1", "run-0"]
    assert found["run-2"] == [(None, 9.0), (0, 0.4)]
    assert found["run-0"] == []
    assert [epoch for epoch, _ in found["run-1"]] == [0, 1, 2]
    assert math.isnan(found["run-1"][1][1])
    assert history(catalog, [], "loss") == {}
