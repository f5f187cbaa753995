"""Frees the space of what is no checkpoint any more: `plan` looks, `execute` acts.

In the order in which a checkpoint is deleted: MLflow → manifest → bytes that nobody refers to. So a
death in the middle leaves what the next collection finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker import catalog
from tracker.catalog.writes import remove
from tracker.deleting.release import release
from tracker.errors import NotFoundError, TrackerError
from tracker.record import retention
from tracker.record.boundary import check_reachable, connect, tracking_uri
from tracker.record.experiments import names
from tracker.record.removal import announce, remove_files
from tracker.upkeep import leftovers
from tracker.upkeep.leftovers import Leftover

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

GRACE = 24 * 60 * 60.0
"""Seconds for which nothing is touched: a large upload may take hours."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of a leftover.

    Attributes:
        leftover: What it was.
        freed: Bytes that were freed, of a local store.
        error: Why it could not be removed; empty if it was.
    """

    leftover: Leftover
    freed: int = 0
    error: str = ""


def plan(
    grace: float = GRACE,
    seen: Callable[[int], None] = lambda count: None,
) -> list[Leftover]:
    """Return what is left over in all experiments, with why it stays if it does; touch nothing.

    Args:
        grace: What was written in so many seconds stays.
        seen: Called with how many were found in each experiment.

    Raises:
        NotFoundError: There is no catalog, so nothing was logged here.
        RecordError: MLflow refused, could not be reached, or can't say what is registered.
        StorageError: The disk refused.
    """
    uri = tracking_uri()
    catalog.open_for_removing(uri)  # makes no database where there is none
    check_reachable(uri)
    client = connect(uri)
    found: list[Leftover] = []
    for id_, name in names().items():
        of_experiment = list(leftovers.find(client, id_, name, grace))
        seen(len(of_experiment))
        found += of_experiment
    return found


def execute(
    planned: Sequence[Leftover], seen: Callable[[Collected], None] = lambda collected: None
) -> list[Collected]:
    """Remove what a plan lets go; a failure hinders no other.

    Args:
        planned: What was planned.
        seen: Called with each that goes.

    Raises:
        CatalogError: The catalog can't be used; nothing was removed.
    """
    uri = tracking_uri()
    engine = catalog.open_for_removing(uri)
    client = connect(uri)
    done: list[Collected] = []
    for leftover in planned:
        if leftover.stays:
            continue
        try:
            _collect(client, engine, leftover)
            collected = Collected(leftover, leftover.size or 0)
        except TrackerError as error:
            collected = Collected(leftover, error=str(error))
        done.append(collected)
        seen(collected)
    return done


def _collect(client: Client, engine: Engine, leftover: Leftover) -> None:
    holding = leftover.holding
    if holding is not None and leftover.needed:
        retention.hold(client, holding.id)
        release(client, holding)
        return
    if holding is not None:
        remove(engine, holding.id)
        try:
            if not retention.abandon(client, holding.id, holding.experiment_id):
                return
        except NotFoundError:
            pass  # another process has deleted it
        announce("retired", leftover.id)
    remove_files(client, leftover.id, leftover.artifact_uri, keep=leftover.needed)
