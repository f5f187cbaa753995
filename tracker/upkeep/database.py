"""Creates or upgrades the catalog's tables, beside MLflow's."""

from __future__ import annotations

from dataclasses import dataclass

from tracker import catalog, settings
from tracker.errors import CatalogError
from tracker.service import location


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A catalog that is up to date: its database (password hidden) and schema revision."""

    uri: str
    revision: str


def upgrade() -> Upgraded:
    """Create the catalog's tables in the database in force, or bring them up to date.

    In MLflow's own database MLflow's tables come first: its ``db upgrade`` fails on a database
    that holds only others.

    Raises:
        CatalogError: The database can't be used, or a tracker service keeps the catalog.
        RecordError: MLflow's tables could not be made.
    """
    tracking_uri = settings.tracking_uri()
    service = location.in_force(tracking_uri)
    if service is not None:
        raise CatalogError(
            f"The tracker service {settings.display_uri(service.url)} keeps the catalog, and "
            "looks after its own tables. To upgrade a database of your own, name it in "
            "TRACKER_CATALOG_URI."
        )
    uri = catalog.catalog_uri(tracking_uri)
    if uri == tracking_uri:
        from tracker.record import logged_models

        logged_models.prepare_database(uri)
    return Upgraded(settings.display_uri(uri), catalog.create_or_upgrade(uri))
