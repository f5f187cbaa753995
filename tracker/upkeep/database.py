"""Creates or upgrades the catalog's tables, beside MLflow's."""

from __future__ import annotations

from dataclasses import dataclass

from tracker import catalog, settings


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
        CatalogError: The database can't be used.
        RecordError: MLflow's tables could not be made.
    """
    tracking_uri = settings.tracking_uri()
    uri = catalog.catalog_uri(tracking_uri)
    if uri == tracking_uri:
        from tracker.record import logged_models

        logged_models.prepare_database(uri)
    return Upgraded(settings.display_uri(uri), catalog.create_or_upgrade(uri))
