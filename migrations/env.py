"""Alembic's environment: the catalog's own history, beside MLflow's in the same database.

`tracker.catalog.database` passes the connection, inside a transaction. To write a new migration,
see the top of the newest file in ``versions``.
"""

from __future__ import annotations

from alembic import context

from tracker.catalog.revisions import VERSION_TABLE
from tracker.catalog.tables import Table


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Look at the catalog's tables only, never at MLflow's."""
    return kind != "table" or (name is not None and name.startswith("tracker_"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
