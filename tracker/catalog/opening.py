"""Opens the catalog that belongs to a tracking URI, for logging or for reading."""

from __future__ import annotations

from sqlalchemy import Engine

from tracker.catalog.database import create_or_upgrade, open_catalog
from tracker.catalog.location import catalog_uri, is_mirror


def open_for_logging(tracking_uri: str) -> Engine:
    """Return the catalog's engine; a SQLite catalog is created or upgraded on the way.

    A server's database is changed by ``tracker db upgrade`` only: a training job has no business
    to migrate what a team shares.

    Raises:
        CatalogError: It can't be used, or needs `tracker db upgrade`.
    """
    uri = catalog_uri(tracking_uri)
    if uri.startswith("sqlite:"):
        create_or_upgrade(uri)
    return open_catalog(uri)


def open_for_reading(tracking_uri: str) -> Engine:
    """Return the catalog's engine; nothing is created, except the mirror of a tracking server.

    Raises:
        NotFoundError: There is no catalog yet, because nothing was logged.
        CatalogError: It can't be used.
    """
    if is_mirror(tracking_uri):
        return open_for_logging(tracking_uri)
    return open_catalog(catalog_uri(tracking_uri))
