"""Applies a retention to the checkpoints of one run: plan purely, ask what is protected, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker.deleting.order import Left, delete
from tracker.deleting.policy import Plan, judge
from tracker.deleting.protection import protected
from tracker.deleting.telling import tell
from tracker.errors import TrackerError
from tracker.record.inventory import Holding, holdings
from tracker.retention import Retention
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client


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
    for (run_id, model_class), by in newest.items():
        of_model = (d.record for d in done if not d.failed and d.record.model_class == model_class)
        tell(client, run_id, by, [record.id for record in of_model if record.run_id == run_id])
    return done
