"""Deletes checkpoints by name that a trainer of another library has given up.

`Retention` judges a whole run. Lightning's and Ignite's own checkpoint callbacks judge by
themselves and name what goes. As with a retention, that happens when a newer one is in MLflow; what
is registered or tagged stays, and so do files that others need. It never hinders the training.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import Future

from tracker.catalog.opening import open_for_logging
from tracker.deleting.order import delete
from tracker.deleting.protection import protected
from tracker.deleting.telling import tell
from tracker.errors import RecordUnreachableError, TrackerError
from tracker.record.boundary import check_reachable, connect
from tracker.record.inventory import holdings
from tracker.saving import tickets
from tracker.saving.ticket import Ticket
from tracker.types import CheckpointRecord

_log = logging.getLogger("tracker.saving")


def let_go_after(newer: Ticket, tracking_uri: str, names: Collection[str]) -> Future[list[str]]:
    """Delete checkpoints of a run when a newer one is saved.

    Args:
        newer: The newer one, of the same run and model class.
        tracking_uri: Where they are.
        names: Their names, ``epoch-6-step-1200``.

    Returns:
        The names of those that are still there because the newer one could not be saved, or MLflow
        could not be reached: they may be let go again.
    """
    outcome: Future[list[str]] = Future()

    def do(record: CheckpointRecord | None) -> None:
        try:
            left = list(names) if record is None else _let_go(record, tracking_uri, names)
        except BaseException as error:
            outcome.set_exception(error)
            raise
        outcome.set_result(left)

    newer.when_done(do)
    return outcome


def to_try_again(outcomes: list[Future[list[str]]]) -> list[str]:
    """Take those out of some outcomes of `let_go_after` that are known; return what is left."""
    known = [each for each in outcomes if each.done()]
    for outcome in known:
        outcomes.remove(outcome)
    return [name for outcome in known for name in outcome.result()]


def _let_go(record: CheckpointRecord, tracking_uri: str, names: Collection[str]) -> list[str]:
    try:
        check_reachable(tracking_uri)
        _delete(record, tracking_uri, names)
    except RecordUnreachableError as error:
        _log.info("Checkpoints are let go with the next one: %s", error)
        return list(names)
    except Exception as error:  # noqa: BLE001 - the newer one is saved, which matters more
        tickets.notice(
            f"Checkpoints of run {record.run_id} that are not needed any more could not be "
            f"deleted ({', '.join(names)}): {error}"
        )
    return []


def _delete(record: CheckpointRecord, tracking_uri: str, names: Collection[str]) -> None:
    client, engine = connect(tracking_uri), open_for_logging(tracking_uri)
    found = [
        each
        for each in holdings(client, record.experiment_id, record.experiment, run_id=record.run_id)
        if each.name in names
        and each.id != record.id
        and each.record is not None
        and each.record.model_class == record.model_class
    ]
    kept = protected(client, record.run_id, found)
    gone: list[str] = []
    for each in found:
        if each.id in kept:
            _log.info("%s of run %s stays: %s", each.name, record.run_id, kept[each.id])
            continue
        try:
            delete(client, engine, each, by=record.id)
            gone.append(each.id)
        except RecordUnreachableError:
            raise
        except TrackerError as error:
            tickets.notice(f"{each.name} of run {record.run_id} could not be deleted: {error}")
    tell(client, record.run_id, record.id, gone)
