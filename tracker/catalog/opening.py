"""Opens the catalog that belongs to a tracking URI, for logging or for reading."""

from __future__ import annotations

from sqlalchemy import Engine

from tracker.catalog.database import create_or_upgrade, make_anew, open_catalog
from tracker.catalog.engines import parse_uri, sqlite_file
from tracker.catalog.location import catalog_uri, is_mirror, is_server, mirror_uri
from tracker.errors import CatalogVersionError, NotFoundError
from tracker.settings import display_uri


def open_for_logging(tracking_uri: str) -> Engine:
    """Return the catalog's engine; a SQLite catalog is created or upgraded on the way.

    A server's database is changed by ``tracker db upgrade`` only: a training job has no business
    to migrate what a team shares. Nothing is entered through a tracker service, which follows
    MLflow by itself: then this is a SQLite file of this user alone, from which later checkpoints
    of a run learn what need not be stored again.

    Raises:
        CatalogError: It can't be used, or needs `tracker db upgrade`.
    """
    uri = catalog_uri(tracking_uri)
    if is_server(uri):
        uri = mirror_uri(tracking_uri)
    if uri.startswith("sqlite:"):
        create_or_upgrade(uri)
    try:
        return open_catalog(uri)
    except NotFoundError as error:
        raise CatalogVersionError(
            f"The database {display_uri(uri)} has no tables of tracker's yet, and only "
            "`tracker db upgrade` makes them on a server: run it once, then log again."
        ) from error


def open_for_reindexing(tracking_uri: str, *, anew: bool = False) -> Engine:
    """Return the catalog's engine as `open_for_logging` does, but make no SQLite file.

    Args:
        tracking_uri: The tracking store whose catalog it is.
        anew: Drop the catalog's tables first, whatever they are, and make them again.

    Raises:
        NotFoundError: There is no such file, so there is nothing that could be indexed.
        CatalogError: It can't be used, or needs `tracker db upgrade`.
    """
    uri = catalog_uri(tracking_uri)
    file = sqlite_file(parse_uri(uri))
    if anew and (file is None or file.exists()):
        make_anew(uri)
    if file is None or file.exists() or is_mirror(tracking_uri):
        return open_for_logging(tracking_uri)
    return open_catalog(uri)


def open_for_removing(tracking_uri: str) -> Engine:
    """Return the catalog's engine to take checkpoints out of; make no SQLite file for it.

    A tracker service takes them out by itself, as it follows MLflow; then it is this user's own
    file, as for logging.

    Raises:
        NotFoundError: There is no catalog yet, because nothing was logged.
        CatalogError: It can't be used, or needs `tracker db upgrade`.
    """
    if is_server(catalog_uri(tracking_uri)):
        return open_for_logging(tracking_uri)
    return open_for_reindexing(tracking_uri)


def open_for_reading(tracking_uri: str) -> Engine:
    """Return the catalog's engine; nothing is created, except the mirror of a tracking server.

    Raises:
        NotFoundError: There is no catalog yet, because nothing was logged.
        CatalogError: It can't be used.
    """
    if is_mirror(tracking_uri):
        return open_for_logging(tracking_uri)
    return open_catalog(catalog_uri(tracking_uri))
