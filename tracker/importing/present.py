"""Which checkpoints are there already, so that importing twice makes nothing twice."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from tracker import catalog
from tracker.catalog import Scope
from tracker.errors import NotFoundError, TrackerError, TrackerWarning
from tracker.format.tensors import tensor_digests
from tracker.loading import find
from tracker.loading.fetch import fetch
from tracker.loading.mirror import open_current
from tracker.record import retention
from tracker.saving.snapshot import Snapshot
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client

DIGEST = "import_digest"
"""The tag that has the digest of the file that a checkpoint was imported from."""


def by_digest(
    digest: str, experiment: str | None = None, *, run_id: str | None = None
) -> CheckpointRecord | None:
    """Return the checkpoint that was imported from a file of this digest.

    Args:
        digest: Of the file's bytes.
        experiment: Where to look, if not in a run.
        run_id: The run to look in.
    """
    places = None if experiment is None else (experiment,)
    return _first(Scope(places, run_id, f"tags.{DIGEST} = '{digest}'"))


def at_place(run_id: str, epoch: int | None, step: int | None) -> CheckpointRecord | None:
    """Return the checkpoint of an epoch and step of a run, of whatever model."""
    if epoch is None and step is None:
        return None
    counts = {"epoch": epoch, "step": step}
    conditions = [f"{k} IS NULL" if v is None else f"{k} = {v}" for k, v in counts.items()]
    return _first(Scope(None, run_id, " AND ".join(conditions)))


def _first(scope: Scope) -> CheckpointRecord | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrackerWarning)  # that nothing has such a tag yet
            found = find.search(open_current(), scope, order_by=None, max_results=1)
    except NotFoundError:
        return None  # no catalog, experiment or run yet
    return found[0] if found else None


def supersede(client: Client, tracking_uri: str, old: CheckpointRecord, by: str) -> None:
    """Let a checkpoint go whose weights were imported again, with a model this time.

    Raises:
        RecordError: MLflow refused; both are there then.
        CatalogError: The catalog could not be used.
    """
    retention.retire(client, old.id, old.experiment_id, replaced_by=by)
    catalog.remove(catalog.open_for_logging(tracking_uri), old.id)


def has_same_weights(record: CheckpointRecord, snapshot: Snapshot) -> bool:
    """Return whether a checkpoint holds the very weights of another that is to be imported."""
    try:
        entries = fetch(record, ()).manifest.tensors.get("model", {})
    except TrackerError:
        return False  # its files are gone or damaged: what comes is not dropped for it
    stored = {name: entry.digest for name, entry in entries.items()}
    state = snapshot.description.state
    return stored.keys() == state.keys() and stored == tensor_digests(state)
