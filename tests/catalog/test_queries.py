from __future__ import annotations

import math

import pytest
from sqlalchemy import Engine, event

from tracker.catalog import (
    Scope,
    at,
    best,
    by_id,
    count,
    epochs,
    experiment_names,
    latest,
    metric_counts,
    put,
    run_ids,
    search,
    top,
)
from tracker.errors import FilterSyntaxError, InvalidArgumentError
from tracker.types import CheckpointRecord

from .examples import record

ALL = Scope()


def fill(catalog: Engine, *records: CheckpointRecord) -> None:
    for given in records:
        put(catalog, given)


def ids(found: list[CheckpointRecord]) -> list[str]:
    return [checkpoint.id for checkpoint in found]


def with_losses(*losses: float) -> list[CheckpointRecord]:
    return [record(n, metrics={"val_loss": loss}) for n, loss in enumerate(losses, start=1)]


class TestSearch:
    def test_finds_the_newest_first_and_ties_by_id(self, catalog: Engine) -> None:
        same = record(3).created_at
        fill(catalog, record(2), record(3), record(4, id="m-0", created_at=same), record(1))

        assert ids(search(catalog, ALL)) == ["m-0", "m-3", "m-2", "m-1"]

    def test_finds_nothing_in_an_empty_catalog(self, catalog: Engine) -> None:
        assert search(catalog, ALL) == []

    def test_stays_within_experiments_and_run(self, catalog: Engine) -> None:
        other = {"experiment_id": "8", "experiment": "letters"}
        third = {"experiment_id": "9", "experiment": "signs"}
        fill(
            catalog,
            record(1),
            record(2, run_id="run-2"),
            record(3, **other),
            record(4, run_id="run-3", **third),
        )

        assert ids(search(catalog, Scope(("digits",)))) == ["m-2", "m-1"]
        assert ids(search(catalog, Scope(("digits", "letters")))) == ["m-3", "m-2", "m-1"]
        assert ids(search(catalog, Scope(("digits",), run_id="run-2"))) == ["m-2"]
        assert search(catalog, Scope(("unknown",))) == []
        assert search(catalog, Scope(())) == []

    def test_pages_through_all(self, catalog: Engine) -> None:
        fill(catalog, *(record(n) for n in range(1, 6)))

        pages = [search(catalog, ALL, max_results=2, offset=offset) for offset in (0, 2, 4)]

        assert [ids(page) for page in pages] == [["m-5", "m-4"], ["m-3", "m-2"], ["m-1"]]
        assert ids(search(catalog, ALL, max_results=None, offset=3)) == ["m-2", "m-1"]
        assert search(catalog, ALL, max_results=0) == []

    def test_orders_by_a_metric_and_puts_nan_and_absence_last_either_way(
        self, catalog: Engine
    ) -> None:
        fill(catalog, *with_losses(0.2, math.nan, 0.1), record(4, metrics={}))

        ascending = search(catalog, ALL, order_by=["metrics.val_loss ASC"])
        descending = search(catalog, ALL, order_by=["metric.val_loss desc"])

        assert ids(ascending) == ["m-3", "m-1", "m-4", "m-2"]
        assert ids(descending) == ["m-1", "m-3", "m-4", "m-2"]

    @pytest.mark.parametrize("direction", ["ASC", "DESC"])
    @pytest.mark.parametrize("scope", [ALL, Scope(("digits",), "run-1", "epoch > 2")])
    def test_pages_through_an_order_by_metric_with_ties_nan_and_absence(
        self, catalog: Engine, scope: Scope, direction: str
    ) -> None:
        losses = (0.2, math.nan, 0.1, 0.2, math.inf, 0.2, 0.1, math.nan)
        fill(catalog, *with_losses(*losses), *(record(n, metrics={"a": 1.0}) for n in (8, 9)))
        order_by = [f"metrics.val_loss {direction}"]
        whole = ids(search(catalog, scope, order_by=order_by, max_results=None))

        for size in (1, 2, 3, 20):
            pages = [
                search(catalog, scope, order_by=order_by, max_results=size, offset=offset)
                for offset in range(0, len(whole) + 1, size)
            ]
            assert [id_ for page in pages for id_ in ids(page)] == whole

    def test_orders_by_infinities_at_the_ends(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.0, math.inf, -math.inf))

        assert ids(search(catalog, ALL, order_by=["metrics.val_loss"])) == ["m-3", "m-1", "m-2"]

    @pytest.mark.parametrize(
        ("order_by", "expected"),
        [
            (["created_at"], ["m-1", "m-2", "m-3"]),
            (["attributes.epoch ASC"], ["m-1", "m-3", "m-2"]),
            (["attribute.epoch DESC"], ["m-3", "m-1", "m-2"]),
            (["params.depth", "epoch DESC"], ["m-2", "m-3", "m-1"]),
            (["tags.`my key` DESC"], ["m-1", "m-3", "m-2"]),
            (["experiment_name DESC", "id"], ["m-1", "m-2", "m-3"]),
        ],
    )
    def test_orders_as_mlflow_does(
        self, catalog: Engine, order_by: list[str], expected: list[str]
    ) -> None:
        fill(
            catalog,
            record(1, params={"depth": "7"}, tags={"my key": "x"}),
            record(2, params={"depth": "10"}, epoch=None),
            record(3, params={"depth": "7"}),
        )

        assert ids(search(catalog, ALL, order_by=order_by)) == expected

    @pytest.mark.parametrize(
        "order_by", ["", "val_loss", "metrics.a SIDEWAYS", "epoch; DROP TABLE x", "a.b"]
    )
    def test_refuses_an_order_that_does_not_parse(self, catalog: Engine, order_by: str) -> None:
        with pytest.raises(FilterSyntaxError, match=r"metrics\.val_loss ASC"):
            search(catalog, ALL, order_by=[order_by])

    @pytest.mark.parametrize("page", [{"max_results": -1}, {"offset": -1}])
    def test_refuses_negative_pages(self, catalog: Engine, page: dict[str, int]) -> None:
        with pytest.raises(InvalidArgumentError, match="negative"):
            search(catalog, ALL, **page)  # type: ignore[arg-type]

    def test_asks_as_many_queries_for_many_checkpoints_as_for_one(self, catalog: Engine) -> None:
        fill(catalog, *(record(n, tags={"a": "b"}) for n in range(1, 31)))

        def queries(max_results: int) -> int:
            statements: list[str] = []

            def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
                statements.append(statement)

            event.listen(catalog, "before_cursor_execute", note)
            search(catalog, ALL, max_results=max_results)
            event.remove(catalog, "before_cursor_execute", note)
            return sum(statement.startswith("SELECT") for statement in statements)

        assert queries(30) == queries(1)


class TestBest:
    def test_is_the_least_or_the_greatest(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.3, 0.1, 0.2))

        assert best(catalog, ALL, "val_loss", "min") == with_losses(0.3, 0.1, 0.2)[1]
        assert best(catalog, ALL, "val_loss", "max") == with_losses(0.3, 0.1, 0.2)[0]

    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_is_never_a_nan(self, catalog: Engine, mode: str) -> None:
        fill(catalog, *with_losses(math.nan, 0.1, math.nan))

        found = best(catalog, ALL, "val_loss", mode)  # type: ignore[arg-type]

        assert found is not None
        assert found.id == "m-2"

    @pytest.mark.parametrize(("mode", "expected"), [("min", -math.inf), ("max", math.inf)])
    def test_may_be_infinite(self, catalog: Engine, mode: str, expected: float) -> None:
        fill(catalog, *with_losses(math.inf, 0.0, -math.inf))

        found = best(catalog, ALL, "val_loss", mode)  # type: ignore[arg-type]

        assert found is not None
        assert found.metrics["val_loss"] == expected

    def test_is_none_if_no_checkpoint_has_a_number(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(math.nan))

        assert best(catalog, ALL, "val_loss", "min") is None
        assert best(catalog, ALL, "unknown", "min") is None
        assert best(catalog, Scope(("unknown",)), "val_loss", "min") is None

    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_goes_to_the_earlier_epoch_then_time_then_id(self, catalog: Engine, mode: str) -> None:
        early = record(1).created_at
        equals = [
            record(5, id="m-none", epoch=None, created_at=early),
            record(3, id="m-later", run_id="r2"),
            record(3, id="m-b", run_id="r3", created_at=early),
            record(3, id="m-a", run_id="r4", created_at=early),
            record(4, id="m-epoch", created_at=early),
        ]
        fill(catalog, *equals)
        ranked = []

        while equals:
            found = best(catalog, ALL, "val_loss", mode)  # type: ignore[arg-type]
            assert found is not None
            ranked.append(found.id)
            equals.remove(found)
            put(catalog, record(9, id=found.id, metrics={}, run_id=found.id))

        assert ranked == ["m-a", "m-b", "m-later", "m-epoch", "m-none"]

    def test_is_sought_within_the_scope(self, catalog: Engine) -> None:
        other = {"experiment_id": "8", "experiment": "letters"}
        fill(
            catalog,
            record(1, metrics={"loss": 0.1}, **other),
            record(2, metrics={"loss": 0.2}, run_id="run-2"),
            record(3, metrics={"loss": 0.3}),
            record(4, metrics={"loss": 0.4}),
        )

        def best_id(scope: Scope) -> str | None:
            found = best(catalog, scope, "loss", "min")
            return found and found.id

        assert best_id(ALL) == "m-1"
        assert best_id(Scope(("digits",))) == "m-2"
        assert best_id(Scope(("digits", "letters"))) == "m-1"
        assert best_id(Scope(("digits",), run_id="run-1")) == "m-3"
        assert best_id(Scope(("digits",), run_id="run-1", filter_string="epoch > 3")) == "m-4"
        assert best_id(Scope(filter_string="metrics.loss > 0.15")) == "m-2"

    def test_refuses_another_mode(self, catalog: Engine) -> None:
        with pytest.raises(InvalidArgumentError, match="'min' or 'max'"):
            best(catalog, ALL, "loss", "best")  # type: ignore[arg-type]


class TestTop:
    def test_is_the_best_ones_the_best_first(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.3, 0.1, math.nan, 0.2, math.inf))

        assert ids(top(catalog, ALL, "val_loss", "min", 2)) == ["m-2", "m-4"]
        assert ids(top(catalog, ALL, "val_loss", "max", 2)) == ["m-5", "m-1"]
        assert ids(top(catalog, ALL, "val_loss", "min", 9)) == ["m-2", "m-4", "m-1", "m-5"]
        assert top(catalog, ALL, "unknown", "min", 9) == []

    def test_takes_the_earlier_of_equal_ones(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.2, 0.1, 0.2, 0.2))
        put(catalog, record(8, id="m-none", epoch=None, metrics={"val_loss": 0.2}))

        for k, expected in ((2, "21"), (3, "213"), (4, "2134")):
            found = top(catalog, ALL, "val_loss", "min", k)
            assert ids(found) == [f"m-{number}" for number in expected]
        assert ids(top(catalog, ALL, "val_loss", "min", 5))[-1] == "m-none"

    def test_stays_within_the_scope(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.1, 0.2, 0.3, 0.4))
        scope = Scope(("digits",), "run-1", "epoch > 1")

        assert ids(top(catalog, scope, "val_loss", "min", 2)) == ["m-2", "m-3"]


class TestAt:
    def test_finds_an_epoch_a_step_or_both(self, catalog: Engine) -> None:
        fill(catalog, record(1), record(2), record(2, id="m-other", step=250, created_at=1))

        assert ids(at(catalog, ALL, epoch=2)) == ["m-2", "m-other"]
        assert ids(at(catalog, ALL, step=100)) == ["m-1"]
        assert ids(at(catalog, ALL, epoch=2, step=250)) == ["m-other"]
        assert at(catalog, ALL, epoch=3) == []
        assert at(catalog, Scope(run_id="run-2"), epoch=2) == []

    def test_finds_epoch_zero(self, catalog: Engine) -> None:
        fill(catalog, record(0), record(1))

        assert ids(at(catalog, ALL, epoch=0)) == ["m-0"]

    def test_finds_the_largest_there_can_be(self, catalog: Engine) -> None:
        largest = 2**63 - 1
        fill(catalog, record(1, epoch=largest, step=largest), record(2, epoch=largest - 1))

        assert ids(at(catalog, ALL, epoch=largest)) == ["m-1"]
        assert ids(at(catalog, ALL, step=largest)) == ["m-1"]
        for condition in (f"epoch = {largest}", f"epoch > {largest - 1}", f"epoch IN ({largest})"):
            assert ids(search(catalog, Scope(filter_string=condition))) == ["m-1"]

    def test_finds_as_many_as_asked_for(self, catalog: Engine) -> None:
        fill(catalog, record(1), record(1, id="m-9", run_id="run-2", created_at=1))

        assert ids(at(catalog, ALL, epoch=1, limit=1)) == ["m-1"]

    def test_needs_one_of_them(self, catalog: Engine) -> None:
        with pytest.raises(InvalidArgumentError, match="epoch or a step"):
            at(catalog, ALL)


class TestLatest:
    def test_is_the_newest_then_the_later_epoch_then_step(self, catalog: Engine) -> None:
        same = record(9).created_at
        fill(catalog, record(3))
        for later in (
            record(1, id="m-d", created_at=same, epoch=None, step=1),
            record(1, id="m-c", created_at=same),
            record(2, id="m-b", created_at=same, step=None),
            record(2, id="m-a", created_at=same),
            record(2, id="m-aa", created_at=same, run_id="run-2"),
        ):
            put(catalog, later)

            found = latest(catalog, ALL)

            assert found is not None
            assert found.id == later.id

    def test_is_none_where_there_is_none(self, catalog: Engine) -> None:
        fill(catalog, record(1))

        assert latest(catalog, Scope(run_id="run-2")) is None


class TestById:
    def test_an_exact_match_wins_over_those_that_start_with_it(self, catalog: Engine) -> None:
        fill(catalog, record(1, id="m-ab"), record(2, id="m-abc"))

        assert ids(by_id(catalog, "m-ab")) == ["m-ab"]
        assert ids(by_id(catalog, "ab")) == ["m-ab"]

    def test_finds_a_prefix_with_and_without_mlflows_own(self, catalog: Engine) -> None:
        fill(catalog, record(1, id="m-abc"), record(2, id="m-abd"), record(3, id="m-b"))

        assert ids(by_id(catalog, "ab")) == ["m-abc", "m-abd"]
        assert ids(by_id(catalog, "m-abd"[:4])) == ["m-abc", "m-abd"]

    def test_finds_six_at_the_most(self, catalog: Engine) -> None:
        fill(catalog, *(record(n, id=f"m-{n:02}") for n in range(10)))

        assert len(by_id(catalog, "m-")) == 6

    @pytest.mark.parametrize("identifier", ["", " ", "x", "%", "_", "m_", "m-1%", "M-1"])
    def test_finds_nothing_by_anything_else(self, catalog: Engine, identifier: str) -> None:
        fill(catalog, record(1))

        assert by_id(catalog, identifier) == []


class TestForMessages:
    def test_experiments_and_runs_are_listed(self, catalog: Engine) -> None:
        fill(
            catalog,
            record(1),
            record(2, run_id="run-2"),
            record(3, run_id="run-3", experiment_id="8", experiment="a"),
        )

        assert experiment_names(catalog) == ["a", "digits"]
        assert run_ids(catalog, ALL, 2) == ["run-3", "run-2"]
        assert run_ids(catalog, Scope(("digits",)), 9) == ["run-2", "run-1"]

    def test_metrics_are_counted_with_and_without_nan(self, catalog: Engine) -> None:
        fill(catalog, *with_losses(0.1, math.nan), record(3, metrics={"acc": 1.0}))

        assert metric_counts(catalog, ALL) == {"acc": (1, 1), "val_loss": (2, 1)}
        assert metric_counts(catalog, Scope(filter_string="epoch = 3")) == {"acc": (1, 1)}
        assert metric_counts(catalog, Scope(run_id="run-2")) == {}
        assert metric_counts(catalog, ALL, "acc") == {"acc": (1, 1)}
        assert metric_counts(catalog, ALL, "unknown") == {}

    def test_epochs_are_listed_once_each(self, catalog: Engine) -> None:
        fill(catalog, record(2), record(1), record(1, id="m-x", step=1), record(3, epoch=None))

        assert epochs(catalog, ALL) == [1, 2]

    def test_checkpoints_are_counted(self, catalog: Engine) -> None:
        fill(catalog, record(1), record(2))

        assert count(catalog, ALL) == 2
        assert count(catalog, Scope(("digits",), filter_string="epoch = 1")) == 1
