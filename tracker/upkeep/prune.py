"""The retention of a training, applied to runs that are done: planned, shown, then executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker import catalog
from tracker.deleting import run
from tracker.deleting.policy import Judgement, Plan
from tracker.deleting.run import Deleted
from tracker.errors import NotFoundError
from tracker.record import listing, runs
from tracker.record.boundary import check_reachable, connect, tracking_uri
from tracker.record.experiments import names
from tracker.record.inventory import Holding, holdings
from tracker.retention import Retention

if TYPE_CHECKING:
    from tracker.record.boundary import Client


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a retention makes of some runs.

    Attributes:
        tracking_uri: The tracking store that they are in.
        runs: The plan of each run, and what MLflow holds of it.
    """

    tracking_uri: str
    runs: Sequence[tuple[Plan, dict[str, Holding]]]

    @property
    def judgements(self) -> list[Judgement]:
        """What becomes of each checkpoint, run by run, the newest first."""
        return [each for plan, _ in self.runs for each in plan.judgements]

    @property
    def without_metric(self) -> list[str]:
        """The models of which nothing is deleted, since none has the metric to judge by."""
        return sorted({each for plan, _ in self.runs for each in plan.without_metric})


def plan(
    retention: Retention,
    *,
    run_ids: Sequence[str] = (),
    experiments: Sequence[str] | None = None,
) -> Pruning:
    """Judge the checkpoints of runs; nothing is touched.

    Args:
        retention: Which stay.
        run_ids: The runs.
        experiments: All runs of these experiments; None: of all experiments, unless runs are given.

    Raises:
        NotFoundError: There is no such run or experiment, or no catalog.
        RecordError: MLflow can't be reached, or can't say what is registered.
    """
    uri = tracking_uri()
    catalog.open_for_removing(uri)  # makes no database where there is none
    check_reachable(uri)
    client = connect(uri)
    if run_ids:
        of_runs = (runs.run_for_logging(client, run_id) for run_id in dict.fromkeys(run_ids))
        places = [(each.id, each.experiment_id, each.experiment) for each in of_runs]
    else:
        places = _runs_of(client, experiments)
    planned = [
        run.plan_run(
            client,
            run_id=run_id,
            experiment_id=experiment_id,
            experiment=experiment,
            retention=retention,
        )
        for run_id, experiment_id, experiment in places
    ]
    return Pruning(uri, [each for each in planned if each[0].judgements])


def _runs_of(client: Client, experiments: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return the runs with checkpoints of experiments that were not deleted."""
    known = names()
    unknown = set(experiments or ()) - set(known.values())
    if unknown:
        listed = ", ".join(sorted(known.values())[:20])
        raise NotFoundError(f"There is no experiment {sorted(unknown)[0]!r}. There are: {listed}.")
    found: list[tuple[str, str, str]] = []
    for id_, name in known.items():
        if experiments is None or name in experiments:
            ids = {h.run_id for h in holdings(client, id_, name) if h.record is not None}
            active = listing.active_runs([id_], ids)
            found += [(run_id, id_, name) for run_id in sorted(active)]
    return found


def execute(
    pruning: Pruning, seen: Callable[[Deleted], None] = lambda deleted: None
) -> list[Deleted]:
    """Delete what a plan lets go; a failure hinders no other.

    Args:
        pruning: What was planned. What became registered meanwhile is not deleted.
        seen: Called with each.

    Raises:
        CatalogError: The catalog can't be used; nothing was deleted.
    """
    client = connect(pruning.tracking_uri)
    engine = catalog.open_for_removing(pruning.tracking_uri)
    done: list[Deleted] = []
    for planned, found in pruning.runs:
        done += run.execute(client, engine, planned, found, seen)
    return done
