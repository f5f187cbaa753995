"""Applies a retention when a newer checkpoint is in MLflow. It never hinders the training.

What could not be deleted is a warning, and is tried again when the next checkpoint is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from tracker.deleting import run
from tracker.deleting.policy import Plan
from tracker.errors import RecordUnreachableError
from tracker.record.boundary import check_reachable
from tracker.retention import Retention
from tracker.saving import stored
from tracker.saving.publish import Warn
from tracker.settings import display_uri
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

_MOST_LISTED = 3

_log = logging.getLogger("tracker.saving")


def retain(
    client: Client,
    engine: Engine,
    record: CheckpointRecord,
    retention: Retention | None,
    warn: Warn,
) -> None:
    """Delete the checkpoints of a run and model that a retention lets go; nothing is raised.

    Args:
        client: MLflow.
        engine: The catalog.
        record: The checkpoint that was logged, READY and in the catalog.
        retention: Which stay; None: all.
        warn: Called with what deserves a look.
    """
    if retention is None:
        return
    try:
        check_reachable(client.tracking_uri)
        plan, found = run.plan_run(
            client,
            run_id=record.run_id,
            experiment_id=record.experiment_id,
            experiment=record.experiment,
            retention=retention,
            model_class=record.model_class,
        )
        _warn_of_metric(plan, retention, warn)
        done = run.execute(client, engine, plan, found)
    except RecordUnreachableError as error:
        _log.info("The retention is applied with the next checkpoint: %s", error)
    except Exception as error:  # noqa: BLE001 - the checkpoint is saved, which matters more
        warn(f"No checkpoint of run {record.run_id} was deleted by its retention: {error}")
    else:
        _warn_of_rest(client, done, warn)
        if any(deleted.record.id == record.id for deleted in done):
            stored.forget(record.run_id)  # it was logged earlier than others, and came later


def _warn_of_metric(plan: Plan, retention: Retention, warn: Warn) -> None:
    for model_class in plan.without_metric:
        names = sorted({name for each in plan.judgements for name in each.record.metrics})
        warn(
            f"keep_best={retention.keep_best} deletes no checkpoint of {model_class}, since none "
            f"has the metric {retention.monitor!r}. The metrics there are: "
            f"{', '.join(names) or 'none'}."
        )


def _warn_of_rest(client: Client, done: Collection[run.Deleted], warn: Warn) -> None:
    failed = [each for each in done if each.failed]
    if failed:
        listed = ", ".join(each.record.name for each in failed[:_MOST_LISTED])
        more = f" and {len(failed) - _MOST_LISTED} more" if len(failed) > _MOST_LISTED else ""
        warn(
            f"The retention of run {failed[0].record.run_id} could not delete {listed}{more}; it "
            f"is tried again with the next checkpoint. {failed[0].reason}"
        )
    elif any(each.left == "files" for each in done):
        where = display_uri(client.tracking_uri)
        reason = next(each.reason for each in done if each.left == "files")
        if where not in _told:
            _told.add(where)
            warn(f"The retention deletes checkpoints in {where}, but not their files. {reason}")


_told: set[str] = set()
"""Tracking stores of which was said, once, that their files stay."""
