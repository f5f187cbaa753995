"""Looking after the catalog and what is in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tracker.loading import mirror
from tracker.saving import tickets
from tracker.upkeep.database import Upgraded, upgrade
from tracker.upkeep.doctor import Finding, examine

if TYPE_CHECKING:
    from tracker.deleting.run import Deleted
    from tracker.retention import Retention
    from tracker.upkeep.collect import Collected
    from tracker.upkeep.leftovers import Leftover
    from tracker.upkeep.prune import Pruning


def upgrade_database() -> Upgraded:
    """Create or upgrade the catalog's tables in the database in force."""
    return upgrade()


def update_mirror(seen: mirror.Seen) -> bool:
    """Bring the mirror of a tracking server up to date; return whether the catalog is one.

    Queries do so by themselves; the first time it may take long.

    Args:
        seen: Called with the number of checkpoints of each page that was entered.

    Raises:
        RecordError: MLflow can't be reached.
        CatalogError: The mirror can't be used.
    """
    return mirror.update_if_mirror(seen)


def reindex(seen: mirror.Seen = lambda count: None, *, anew: bool = False) -> int:
    """Make the catalog what MLflow holds; return how many checkpoints that are.

    Runs and experiments that were deleted or restored, renamed experiments, and metrics that were
    logged later are found.

    Args:
        seen: Called with the number of checkpoints of each page that was entered.
        anew: Drop the catalog's tables first and make them again: for those that are damaged.

    Raises:
        RecordError: MLflow can't be reached; nothing was changed.
        CatalogError: The catalog can't be used.
    """
    tickets.wait()
    return mirror.reindex(seen, anew=anew)


def plan_pruning(
    retention: Retention,
    *,
    run_ids: Sequence[str] = (),
    experiments: Sequence[str] | None = None,
) -> Pruning:
    """Judge which checkpoints of runs stay, and touch nothing; see `tracker.upkeep.prune.plan`."""
    from tracker.upkeep import prune as pruning

    tickets.wait()
    return pruning.plan(retention, run_ids=run_ids, experiments=experiments)


def prune(pruning: Pruning) -> list[Deleted]:
    """Delete what `plan_pruning` lets go; return what became of each."""
    from tracker.upkeep import prune as executing

    return executing.execute(pruning)


def plan_collection(
    grace: float, seen: Callable[[int], None] = lambda count: None
) -> list[Leftover]:
    """Find what is no checkpoint any more, and touch nothing; see `tracker.upkeep.collect.plan`."""
    from tracker.upkeep import collect as collection

    tickets.wait()
    return collection.plan(grace, seen)


def collect(planned: Sequence[Leftover]) -> list[Collected]:
    """Remove what `plan_collection` lets go; return what became of each."""
    from tracker.upkeep import collect as collection

    return collection.execute(planned)


def diagnose() -> list[Finding]:
    """Return what tracking store, catalog, artifact store and versions are in force."""
    return examine()
