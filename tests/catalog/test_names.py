"""Which names there are, found at a look-up each."""

from __future__ import annotations

from sqlalchemy import Engine

from tracker.catalog import Scope, metric_names, put_all, text_names

from .examples import record


def test_metrics_are_listed_within_experiments_and_run(catalog: Engine) -> None:
    letters = {"experiment_id": "8", "experiment": "letters"}
    put_all(
        catalog,
        [
            record(1, metrics={"b": 1.0, "a": 1.0}),
            record(2, metrics={"a": 1.0}, run_id="run-2"),
            record(3, metrics={"c": 1.0, "Z": float("nan")}, **letters),
        ],
    )

    assert metric_names(catalog, Scope()) == ["Z", "a", "b", "c"]
    assert metric_names(catalog, Scope(("letters",))) == ["Z", "c"]
    assert metric_names(catalog, Scope(("digits", "letters"))) == ["Z", "a", "b", "c"]
    assert metric_names(catalog, Scope(run_id="run-2")) == ["a"]
    assert metric_names(catalog, Scope(("unknown",))) == []


def test_params_and_tags_are_listed_once_each(catalog: Engine) -> None:
    put_all(
        catalog,
        [record(n, params={"depth": str(n), f"p{n % 2}": ""}, tags={"a b": "x"}) for n in range(5)],
    )

    assert text_names(catalog, "param") == ["depth", "p0", "p1"]
    assert text_names(catalog, "tag") == ["a b"]


def test_an_empty_catalog_has_none(catalog: Engine) -> None:
    assert metric_names(catalog, Scope()) == []
    assert text_names(catalog, "tag") == []
