"""Keeps the catalog in step with a tracking server whose database can't be asked directly."""

from __future__ import annotations

from tracker import catalog, settings
from tracker.catalog import Engine

_OVERLAP = 60_000
"""Milliseconds by which two updates overlap: clocks differ, and a transaction may commit late."""


def open_current(tracking_uri: str | None = None) -> Engine:
    """Return the catalog for reading; a mirror is brought up to date first.

    Raises:
        NotFoundError: There is no catalog yet.
        CatalogError: It can't be used.
        RecordError: The tracking server can't be reached.
    """
    uri = tracking_uri or settings.tracking_uri()
    engine = catalog.open_for_reading(uri)
    if catalog.is_mirror(uri):
        newest = catalog.latest(engine, catalog.Scope())
        fill(engine, since=0 if newest is None else newest.created_at - _OVERLAP)
    return engine


def fill_from_mlflow() -> int:
    """Enter every checkpoint that MLflow holds into the catalog in force; return how many.

    Raises:
        NotFoundError: There is no database that could hold any.
        CatalogError: The catalog can't be used.
        RecordError: MLflow can't be reached.
    """
    return fill(catalog.open_for_reindexing(settings.tracking_uri()))


def fill(engine: Engine, *, since: int = 0) -> int:
    """Enter the checkpoints that MLflow holds into a catalog; return how many.

    Args:
        engine: The catalog.
        since: Only those updated since then, in milliseconds.
    """
    from tracker.record import logged_models

    count = 0
    for record in logged_models.checkpoints(since):
        catalog.put(engine, record)
        count += 1
    return count
