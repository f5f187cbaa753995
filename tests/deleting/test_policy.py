"""Which checkpoints stay, and why. Nothing but data: the tables are the specification."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.examples import record as example
from tracker.deleting.policy import Plan, best_first, judge
from tracker.retention import Retention
from tracker.types import CheckpointRecord

NAN, INF = math.nan, math.inf


def records(*losses: float | None, **changes: Any) -> list[CheckpointRecord]:
    """Return a checkpoint each epoch, of which some have a loss."""
    return [
        example(
            epoch,
            **{
                "id": f"m-{epoch:02}",
                "step": None,
                "metrics": {} if loss is None else {"loss": loss},
                **changes,
            },
        )
        for epoch, loss in enumerate(losses)
    ]


def staying(plan: Plan) -> list[int | None]:
    return sorted(each.record.epoch for each in plan.judgements if each.stays)


def best(count: int, **rules: Any) -> Retention:
    return Retention(keep_best=count, monitor="loss", **rules)


@pytest.mark.parametrize(
    ("losses", "retention", "expected"),
    [
        ([4, 3, 2, 1], Retention(keep_last=2), [2, 3]),
        ([4, 3, 2, 1], Retention(keep_last=9), [0, 1, 2, 3]),
        ([1, 2, 3, 4], best(1), [0, 3]),
        ([1, 2, 3, 4], best(2), [0, 1, 3]),
        ([1, 2, 3, 4], best(1, mode="max"), [3]),
        ([2, 1, 1, 3], best(1), [1, 3]),
        ([NAN, 2, 1, 3], best(2), [1, 2, 3]),
        ([NAN, NAN, NAN, NAN], best(2), [3]),
        ([None, 2, None, None], best(3), [1, 3]),
        ([1, -INF, 0, 5], best(1), [1, 3]),
        ([INF, INF, NAN, 5], best(2), [0, 3]),
        ([INF, -INF, 0, 5], best(1, mode="max"), [0, 3]),
        ([9, 9, 9, 9, 9, 9], Retention(keep_every=2), [0, 2, 4, 5]),
        ([9, 1, 9, 9, 9, 9], best(1, keep_last=2, keep_every=3), [0, 1, 3, 4, 5]),
    ],
)
def test_a_checkpoint_stays_if_a_rule_keeps_it(
    losses: list[float | None], retention: Retention, expected: list[int]
) -> None:
    assert staying(judge(records(*losses), retention)) == expected


def test_every_reason_is_told() -> None:
    plan = judge(records(1, 3, 2, 4), best(2, keep_last=2, keep_every=2), {"m-01": "registered"})
    assert [(each.record.epoch, each.reasons) for each in plan.judgements] == [
        (3, ("the newest",)),
        (2, ("2nd newest", "2nd best loss", "every 2 epochs")),
        (1, ("registered",)),
        (0, ("best loss", "every 2 epochs")),
    ]


def test_what_goes_goes_in_the_order_it_came() -> None:
    plan = judge(records(4, 3, 2, 1), Retention(keep_last=1))
    assert [record.epoch for record in plan.deleted] == [0, 1, 2]


def test_steps_count_where_there_is_no_epoch() -> None:
    of_steps = [example(step, epoch=None, step=step) for step in (50, 100, 150)]
    plan = judge(of_steps, Retention(keep_every=100))
    assert [(each.record.step, each.reasons) for each in plan.judgements if each.stays] == [
        (150, ("the newest",)),
        (100, ("every 100 steps",)),
    ]


def test_models_of_two_classes_in_a_run_are_judged_apart() -> None:
    generator = records(1, 2, 3, model_class="gan:Generator")
    critic = records(3, 2, 1, model_class="gan:Critic")
    critic = [replace(record, id=f"c-{record.epoch}") for record in critic]
    plan = judge([*generator, *critic], best(1))
    assert sorted(each.record.id for each in plan.judgements if each.stays) == [
        "c-2",
        "m-00",
        "m-02",
    ]


def test_runs_are_judged_apart() -> None:
    plan = judge(
        [example(0, id=f"m-{run}", run_id=run) for run in ("a", "b")], Retention(keep_last=1)
    )
    assert plan.deleted == []


def test_what_is_protected_counts_as_the_others_do() -> None:
    plan = judge(records(1, 2, 3, 4), best(1), {"m-00": "registered as digits/1"})
    assert staying(plan) == [0, 3]


def test_a_metric_that_no_checkpoint_has_deletes_nothing_and_is_told() -> None:
    plan = judge(records(None, None, None), best(1))
    assert plan.deleted == []
    assert plan.without_metric == [records(1)[0].model_class]
    assert plan.judgements[-1].reasons == ("none of its model has 'loss'",)


def test_nothing_is_told_of_a_metric_while_all_stay_anyhow() -> None:
    assert judge(records(None), best(1)).without_metric == []
    assert judge(records(None, None), best(1, keep_last=2)).without_metric == []


values = st.one_of(
    st.none(), st.just(NAN), st.sampled_from([INF, -INF, 0.0, -0.0, 1.0]), st.floats(width=16)
)
counts = st.one_of(st.none(), st.integers(1, 4))


@st.composite
def runs(draw: st.DrawFn) -> list[CheckpointRecord]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        value = draw(values)
        found.append(
            example(
                number,
                run_id=draw(st.sampled_from("ab")),
                model_class=draw(st.sampled_from(["x:G", "x:C"])),
                epoch=draw(st.one_of(st.none(), st.integers(0, 6))),
                step=draw(st.one_of(st.none(), st.integers(0, 6))),
                created_at=draw(st.integers(0, 4)),
                metrics={} if value is None else {"loss": value},
            )
        )
    return found


@st.composite
def retentions(draw: st.DrawFn) -> Retention:
    last, top, every = draw(counts), draw(counts), draw(counts)
    if last is None and top is None and every is None:
        last = 1
    mode = draw(st.sampled_from(["min", "max"])) if top else None
    return Retention(last, top, "loss" if top else None, mode, every)


@given(runs(), retentions(), st.randoms(use_true_random=False), st.data())
def test_what_must_never_be_deleted_never_is(
    run: list[CheckpointRecord], retention: Retention, shuffled: random.Random, data: st.DataObject
) -> None:
    protected = {r.id: "registered" for r in run if data.draw(st.booleans())}
    plan = judge(run, retention, protected)
    deleted = {record.id for record in plan.deleted}
    assert not deleted & protected.keys()
    assert len(plan.judgements) == len(run)
    for model in {(r.run_id, r.model_class) for r in run}:
        group = [r for r in run if (r.run_id, r.model_class) == model]
        left = [r for r in group if r.id not in deleted]
        newest = max(r.created_at for r in group)
        assert any(r.created_at == newest for r in left)
        assert len(left) >= min(len(group), retention.keep_last or 1)
        ranked = [r for r in group if not math.isnan(r.metrics.get("loss", NAN))]
        if retention.keep_best and ranked:
            top = min(ranked, key=best_first(retention))
            assert top.id not in deleted
            assert all(
                top.metrics["loss"] <= r.metrics["loss"]
                if retention.mode == "min"
                else top.metrics["loss"] >= r.metrics["loss"]
                for r in ranked
            )
        every = retention.keep_every
        for r in group:
            number = r.step if r.epoch is None else r.epoch
            assert not (every and number is not None and number % every == 0 and r.id in deleted)
    # Neither the order in which MLflow lists them nor a second look changes anything.
    again = run[:]
    shuffled.shuffle(again)
    assert judge(again, retention, protected) == plan
    rest = [r for r in run if r.id not in deleted]
    assert judge(rest, retention, protected).deleted == []
