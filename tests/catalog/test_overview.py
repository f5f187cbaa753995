"""Experiments, counted."""

from __future__ import annotations

from sqlalchemy import Engine

from tracker.catalog import Scope, count_runs, experiment_summaries, put_all, put_experiments

from .test_per_run import of_run


def test_experiments_are_counted_and_the_most_recently_used_comes_first(catalog: Engine) -> None:
    letters = {"experiment_id": "8", "experiment": "letters"}
    put_all(catalog, [*of_run(1, 0.5, 0.3), *of_run(2, 0.4)])
    put_all(catalog, of_run(3, 0.1, created_at=2_000_000_000_000, **letters))
    put_experiments(catalog, {"9": "empty"})

    found = experiment_summaries(catalog, Scope())

    assert [(each.name, each.checkpoints, each.runs) for each in found] == [
        ("letters", 1, 1),
        ("digits", 3, 2),
    ]
    assert found[0].latest == 2_000_000_000_000
    assert [each.name for each in experiment_summaries(catalog, Scope(("digits",)))] == ["digits"]


def test_runs_are_counted_within_a_scope(catalog: Engine) -> None:
    put_all(catalog, [*of_run(1, 0.5, 0.3), *of_run(2, 0.4)])

    assert count_runs(catalog, Scope()) == 2
    assert count_runs(catalog, Scope(filter_string="metrics.loss < 0.35")) == 1
    assert count_runs(catalog, Scope(visible=frozenset())) == 0
