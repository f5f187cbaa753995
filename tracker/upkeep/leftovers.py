"""Files that no checkpoint needs any more: found and judged, but not touched, here.

They are what was replaced, failed, never finished, or deleted in MLflow: by hand, by a retention,
or by one that died in the middle. What stays is told, too, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from tracker.deleting.release import files_needed
from tracker.record import inventory, registrations
from tracker.record.copies import EXPERIMENT
from tracker.record.inventory import Holding
from tracker.upkeep.orphans import Folder, folders

if TYPE_CHECKING:
    from tracker.record.boundary import Client

Kind: TypeAlias = Literal["unfinished", "failed", "replaced", "holder", "deleted", "unknown"]
"""See `tracker.record.inventory.Condition`. ``deleted``: MLflow has its logged model no more.
``unknown``: nor did it ever, as far as can be told."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that is no checkpoint, or none any more.

    Attributes:
        id: The logged model's id.
        name: Its name, ``epoch-6``; "" if nobody knows.
        run_id: Its run; "" if nobody knows.
        experiment: Its experiment's name.
        kind: What it is.
        artifact_uri: Where its files are.
        size: Bytes of them in a local store; None for a remote one.
        holding: What MLflow holds of it, if anything.
        stays: Why it is left alone, in words; empty if it goes.
        needed: The names of its files that checkpoints need: these stay.
    """

    id: str
    name: str
    run_id: str
    experiment: str
    kind: Kind
    artifact_uri: str
    size: int | None = None
    holding: Holding | None = None
    stays: str = ""
    needed: frozenset[str] = frozenset()


def find(client: Client, experiment_id: str, experiment: str, grace: float) -> Iterator[Leftover]:
    """Yield what an experiment has of them, judged.

    Args:
        client: MLflow.
        experiment_id: The experiment.
        experiment: Its name.
        grace: What is younger stays, in seconds: it may be on its way.

    Raises:
        RecordError: MLflow refused, could not be reached, or can't say what is registered.
        StorageError: The disk refused.
    """
    if experiment.startswith(EXPERIMENT):
        return  # the files of registered versions
    survey = inventory.survey(client, experiment_id, experiment)
    there = {folder.id: folder for folder in folders(client, experiment_id, survey.all_ids)}
    referrers = _referrers(survey.holdings)
    for holding in survey.holdings:
        if holding.condition != "checkpoint":
            folder = there.get(holding.id)
            yield _judged(
                client, _of_holding(holding, experiment, folder), folder, referrers, grace
            )
    for id_, folder in there.items():
        if id_ not in survey.all_ids:
            yield _judged(client, _of_folder(folder, experiment), folder, referrers, grace)


def _referrers(holdings: list[Holding]) -> Mapping[str, list[Holding]]:
    """Return by id what needs files of it."""
    found: dict[str, list[Holding]] = {}
    for holding in holdings:
        for other in holding.references if holding.needs_others else ():
            found.setdefault(other, []).append(holding)
    return found


def _of_holding(holding: Holding, experiment: str, folder: Folder | None) -> Leftover:
    assert holding.condition != "checkpoint"
    return Leftover(
        id=holding.id,
        name=holding.name,
        run_id=holding.run_id,
        experiment=experiment,
        kind=holding.condition,
        artifact_uri=holding.artifact_uri,
        size=None if folder is None else folder.size,
        holding=holding,
    )


def _of_folder(folder: Folder, experiment: str) -> Leftover:
    kind: Kind = "deleted" if folder.is_known else "unknown"
    return Leftover(
        folder.id, folder.name, folder.run_id, experiment, kind, folder.artifact_uri, folder.size
    )


def _judged(
    client: Client,
    leftover: Leftover,
    folder: Folder | None,
    referrers: Mapping[str, list[Holding]],
    grace: float,
) -> Leftover:
    """Return a leftover with why it stays, if it does, and what of it."""
    holding = leftover.holding
    if leftover.kind == "unknown":
        return replace(leftover, stays="nothing tells that it is tracker's, of a run here")
    changed = max(
        0.0 if folder is None else folder.changed_at,
        0.0 if holding is None else holding.updated_at / 1000,
    )
    if time.time() - changed < grace:
        return replace(leftover, stays="younger than the grace period")
    if holding is not None and (holding.keep or holding.registered_as):
        return replace(leftover, stays="tag tracker.keep" if holding.keep else "registered")
    title = registrations.registered(client, leftover.run_id, [leftover.id]).get(leftover.id)
    if title is not None:
        return replace(leftover, stays=f"registered as {title}")
    needing = referrers.get(leftover.id, [])
    if not needing:
        return leftover
    names = ", ".join(sorted(each.name for each in needing)[:3])
    needed = files_needed(client, leftover.id, needing)
    if needed is None:
        return replace(leftover, stays=f"needed by {names}")
    is_released = holding is not None and holding.kept_files is not None
    spare = None if folder is None else folder.spare(needed)
    if spare == 0 or (spare is None and is_released):
        return replace(leftover, stays=f"needed by {names}", needed=needed)
    return replace(leftover, needed=needed, size=spare)
