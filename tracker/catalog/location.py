"""Where the catalog is, given where MLflow's tracking store is."""

from __future__ import annotations

import hashlib

from tracker import settings


def catalog_uri(tracking_uri: str) -> str:
    """Return the URI of the catalog that belongs to a tracking URI.

    ``TRACKER_CATALOG_URI`` if it is set, a database or a tracker service; MLflow's own database if
    tracking uses one; for a tracking server a SQLite file of this user, which mirrors what the
    server holds.
    """
    given = settings.catalog_uri()
    if given is not None:
        return given
    return mirror_uri(tracking_uri) if is_server(tracking_uri) else tracking_uri


def mirror_uri(tracking_uri: str) -> str:
    """Return the URI of this user's own SQLite file for a tracking URI."""
    name = hashlib.sha256(tracking_uri.rstrip("/").encode()).hexdigest()[:16]
    return f"sqlite:///{settings.cache_directory() / 'mirrors' / name}.db"


def is_server(tracking_uri: str) -> bool:
    """Return whether MLflow, or a catalog, is behind HTTP: its database can't be asked directly."""
    return tracking_uri.startswith(("http:", "https:"))


def is_mirror(tracking_uri: str) -> bool:
    """Return whether the catalog is a mirror that has to be brought up to date before a query."""
    return settings.catalog_uri() is None and is_server(tracking_uri)
