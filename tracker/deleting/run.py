"""Applies a retention to the checkpoints of one run: plan purely, ask what is protected, delete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tracker.deleting.order import Left, delete
from tracker.deleting.policy import Judgement, Plan, judge, newest_first
from tracker.deleting.protection import protected
from tracker.errors import TrackerError
from tracker.record.inventory import Holding, holdings
from tracker.retention import Retention
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

Place: TypeAlias = tuple[int | None, int | None]
"""Epoch and step."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A checkpoint that a retention let go.

    Attributes:
        record: The checkpoint.
        left: What is left of its files.
        reason: Why that is left, or why it could not be deleted.
        failed: Whether it could not be deleted: then it is tried again later.
    """

    record: CheckpointRecord
    left: Left = "nothing"
    reason: str = ""
    failed: bool = False


def plan_run(
    client: Client,
    *,
    run_id: str,
    experiment_id: str,
    experiment: str,
    retention: Retention,
    model_class: str | None = None,
) -> tuple[Plan, dict[str, Holding]]:
    """Judge the checkpoints of a run; nothing is touched.

    Args:
        client: MLflow, which is asked, and not the catalog: a mirror may not know all.
        run_id: The run.
        experiment_id: Its experiment.
        experiment: That experiment's name.
        retention: The rules.
        model_class: Only checkpoints of models of this class.

    Returns:
        The plan, and what MLflow holds by id.

    Raises:
        RecordError: MLflow refused, could not be reached, or can't say what is registered.
    """
    found = {
        each.id: each
        for each in holdings(client, experiment_id, experiment, run_id=run_id)
        if each.record is not None and model_class in (None, each.record.model_class)
    }
    records = [each.record for each in found.values() if each.record is not None]
    plan = judge(records, retention)
    candidates = [found[record.id] for record in plan.deleted]
    if not candidates:
        return plan, found
    return judge(records, retention, protected(client, run_id, candidates)), found


def plan_given_up(
    client: Client, newest: CheckpointRecord, places: Collection[Place]
) -> tuple[Plan, dict[str, Holding]]:
    """Judge the checkpoints that a training has given up one by one; nothing is touched.

    Args:
        client: MLflow.
        newest: A checkpoint of the training that is in MLflow; it stays.
        places: Epoch and step of what was given up, of the same run and class of model.

    Returns:
        See `plan_run`.

    Raises:
        RecordError: MLflow refused, could not be reached, or can't say what is registered.
    """
    found = {
        each.id: each
        for each in holdings(client, newest.experiment_id, newest.experiment, run_id=newest.run_id)
        if each.record is not None and each.record.model_class == newest.model_class
    }
    records = [each.record for each in found.values() if each.record is not None]
    goes = {r.id for r in records if (r.epoch, r.step) in places and r.id != newest.id}
    stays = protected(client, newest.run_id, [found[id_] for id_ in goes]) if goes else {}
    judgements = [
        Judgement(record, () if record.id in goes - {*stays} else (stays.get(record.id, "kept"),))
        for record in sorted(records, key=newest_first)
    ]
    return Plan(judgements), found


def execute(
    client: Client,
    engine: Engine,
    plan: Plan,
    found: dict[str, Holding],
    seen: Callable[[Deleted], None] = lambda deleted: None,
) -> Sequence[Deleted]:
    """Delete what a plan lets go, the oldest first; a failure hinders no other.

    Args:
        client: MLflow.
        engine: The catalog.
        plan: What goes.
        found: What MLflow holds, by id.
        seen: Called with each.
    """
    newest = {
        (each.record.run_id, each.record.model_class): each.record.id
        for each in reversed(plan.judgements)
    }
    done: list[Deleted] = []
    for record in plan.deleted:
        by = newest[record.run_id, record.model_class]
        try:
            left, reason = delete(client, engine, found[record.id], by=by)
            deleted = Deleted(record, left, reason)
        except TrackerError as error:
            deleted = Deleted(record, "files", str(error), failed=True)
        done.append(deleted)
        seen(deleted)
    return done
