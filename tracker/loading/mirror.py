"""Keeps the catalog in step with MLflow: a mirror before every query, any catalog when asked to.

Where nothing has changed that takes two requests: for the experiments, and for the logged models
updated since the last time. Deleted runs can't be asked for by time; a third request lists them,
30 seconds after the last one at the earliest. Which logged models a retention has deleted, the
newest of their run says. Which others were, and which got metrics later, nobody tells: making the
catalog again finds that, too.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tracker import catalog, settings
from tracker.errors import CatalogError, RecordError
from tracker.service import location

if TYPE_CHECKING:
    from tracker.catalog import Engine, Replaced
    from tracker.loading.find import Source

_OVERLAP = 60_000
"""Milliseconds by which two updates overlap: a transaction may commit late."""

_DELETED_RUNS_EVERY = 30.0
"""Seconds for which a mirror takes the deleted runs to be those that they were."""

_UNTIL, _EXPERIMENTS = "updated until", "experiments"
_DELETED, _DELETED_AT = "deleted runs", "deleted runs listed at"
_COLLECTED = "collected runs"
"""What a mirror remembers of its last update."""

Seen = Callable[[int], None]
"""Called with the number of checkpoints of each page that was entered."""

_log = logging.getLogger("tracker")


def open_current(tracking_uri: str | None = None, *, update_mirror: bool = True) -> Source:
    """Return whom to ask: a tracker service, or the catalog, where a mirror is brought up to date.

    Args:
        tracking_uri: The tracking store; the one in force by default.
        update_mirror: False for what belongs to an answer that was given a moment ago.

    Raises:
        NotFoundError: There is no catalog yet.
        CatalogError: It can't be used.
        RecordError: The tracking server can't be reached.
    """
    uri = tracking_uri or settings.tracking_uri()
    service = location.in_force(uri)
    if service is not None:
        return service
    engine = catalog.open_for_reading(uri)
    if update_mirror and catalog.is_mirror(uri):
        update(engine)
    return engine


def update_if_mirror(seen: Seen) -> bool:
    """Bring the catalog in force up to date if it is a mirror; return whether it is."""
    uri = settings.tracking_uri()
    if not catalog.is_mirror(uri) or location.in_force(uri) is not None:
        return False
    update(catalog.open_for_reading(uri), seen)
    return True


def update(engine: Engine, seen: Seen = lambda count: None) -> None:
    """Bring a mirror up to date: two requests where nothing has changed.

    A third one, for the deleted runs, is made if the last was 30 seconds ago; until then the
    checkpoints of a run that was deleted or restored may be those of before. An update may be
    interrupted: the next one goes on where it was.

    Raises:
        RecordError: MLflow can't be reached.
    """
    from tracker.record import listing

    names = _update_experiments(engine)
    before = _remembered(engine, _EXPERIMENTS)
    if before is None:
        before = set(names)
        _remember(engine, _EXPERIMENTS, before)
    deleted = _update_deleted_runs(engine, names, same_experiments=before == names.keys())

    def enter(page: listing.Page) -> None:
        catalog.put_all(engine, [r for r in page.records if r.run_id not in deleted])
        for run_id, ids in page.gone.items():
            catalog.remove_of_run(engine, run_id, ids)
        seen(len(page.records))

    appeared = {id_: name for id_, name in names.items() if id_ not in before}
    for page in listing.pages(appeared):  # they may be restored, and old
        enter(page)
    until = int(catalog.state(engine, _UNTIL) or 0)
    others = {id_: name for id_, name in names.items() if id_ in before}
    for page in listing.pages(others, since=max(0, until - _OVERLAP)):
        enter(page)
        if page.until > until:
            until = page.until
            catalog.set_state(engine, _UNTIL, str(until))
    if before != names.keys():
        _remember(engine, _EXPERIMENTS, names.keys())


def reindex(seen: Seen = lambda count: None, *, anew: bool = False) -> int:
    """Make the catalog in force what MLflow holds; return how many checkpoints that are.

    A process that died before it had retired the checkpoint that it replaced has left both in
    MLflow; here the older one leaves that, too.

    Args:
        seen: Called with the number of checkpoints of each page that was entered.
        anew: Drop the catalog's tables first and make them again, as soon as MLflow has answered.

    Raises:
        NotFoundError: There is no database that could hold any.
        CatalogError: The catalog can't be used, or is kept by a tracker service.
        RecordError: MLflow can't be reached.
    """
    uri = settings.tracking_uri()
    service = location.in_force(uri)
    if service is not None:
        raise CatalogError(
            f"The tracker service {settings.display_uri(service.url)} keeps the catalog, which "
            "follows MLflow by itself and is made again every few minutes: there is nothing to do."
        )
    if anew:
        from tracker.record import experiments

        experiments.names()  # who can't fill the tables should not drop them
    return reindex_catalog(catalog.open_for_reindexing(uri, anew=anew), seen)


def reindex_catalog(engine: Engine, seen: Seen = lambda count: None, *, retire: bool = True) -> int:
    """Make a catalog what the MLflow in force holds, as `reindex` does.

    Args:
        engine: The catalog.
        seen: Called with the number of checkpoints of each page that was entered.
        retire: Whether checkpoints that were replaced leave MLflow, too; else nothing is changed
            there.

    Raises:
        CatalogError: The catalog can't be used.
        RecordError: MLflow can't be reached.
    """
    from tracker.record import listing

    # What others log from now on is none of what may be gone.
    before = catalog.all_ids(engine)
    names = _update_experiments(engine)
    found: set[str] = set()
    replaced: list[Replaced] = []
    for page in listing.pages(names):
        active = listing.active_runs(names, {record.run_id for record in page.records})
        records = [record for record in page.records if record.run_id in active]
        replaced += catalog.put_all(engine, records)
        found.update(record.id for record in records)
        seen(len(records))
    catalog.remove_all(engine, before - found)
    replaced = [each for each in replaced if each.record.id in found]
    # What lost against one that is gone.
    catalog.put_all(engine, [each.record for each in replaced if each.by not in found])
    if retire:
        _retire(settings.tracking_uri(), [each for each in replaced if each.by in found])
    return catalog.count(engine, catalog.Scope())


def _update_experiments(engine: Engine) -> dict[str, str]:
    """Rename and remove experiments as in MLflow; return the names of all there, by id."""
    from tracker.record import experiments

    known = catalog.experiments(engine)
    names = experiments.names()
    catalog.remove_experiments(engine, known.keys() - names.keys())
    renamed = {id_ for id_ in known.keys() & names.keys() if known[id_] != names[id_]}
    catalog.put_experiments(engine, {id_: names[id_] for id_ in renamed})
    return names


def _update_deleted_runs(
    engine: Engine, experiments: Mapping[str, str], *, same_experiments: bool
) -> set[str]:
    """Remove the checkpoints of runs that were deleted, and fetch those of restored ones.

    Returns:
        The runs that are deleted, and those that `mlflow gc` has collected since: logged models
        outlive them.
    """
    from tracker.record import listing

    before = _remembered(engine, _DELETED) or set()
    # Those of an experiment that was deleted are in no list, and come back with it.
    collected = (_remembered(engine, _COLLECTED) or set()) if same_experiments else set()
    now = time.time()
    asked = float(catalog.state(engine, _DELETED_AT) or "-inf")
    # A clock that was put back would keep it from being asked again.
    if same_experiments and now - _DELETED_RUNS_EVERY < asked <= now:
        return before | collected
    deleted = listing.deleted_runs(experiments)
    if deleted != before:
        catalog.remove_runs(engine, deleted - before)
        restored = listing.active_runs(experiments, before - deleted)
        for run_id in restored:
            for page in listing.pages(experiments, run_id=run_id):
                catalog.put_all(engine, page.records)
        collected |= before - deleted - restored
        _remember(engine, _COLLECTED, collected)
    _remember(engine, _DELETED, deleted)
    catalog.set_state(engine, _DELETED_AT, str(now))
    return deleted | collected


def _remembered(engine: Engine, key: str) -> set[str] | None:
    text = catalog.state(engine, key)
    return None if text is None else set(json.loads(text))


def _remember(engine: Engine, key: str, ids: Collection[str]) -> None:
    catalog.set_state(engine, key, json.dumps(sorted(ids)))


def _retire(tracking_uri: str, replaced: Sequence[Replaced]) -> None:
    from tracker.record import retention
    from tracker.record.boundary import connect

    for each in replaced:
        old = each.record
        try:
            retention.retire(connect(tracking_uri), old.id, old.experiment_id, replaced_by=each.by)
        except RecordError as error:
            _log.warning("%s was replaced by %s, but stays in MLflow: %s", old.id, each.by, error)
