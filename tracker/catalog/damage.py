"""Whether the tables in a database are those that its schema's revision says.

A migration is one transaction, so one that dies leaves nothing half done. But tables may be
restored from a backup in part, dropped, or changed by hand; and then every question would fail in
its own way. All that is in the catalog is in MLflow, too, so there is one way out: make it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tracker.catalog import revisions
from tracker.catalog.revisions import VERSION_TABLE
from tracker.catalog.tables import Table

MAKE_ANEW = "`tracker reindex --anew` makes the tables anew and fills them from MLflow"

_COLUMNS = {name: set(table.columns.keys()) for name, table in Table.metadata.tables.items()}
_NAMES = ", ".join(f"'{name}'" for name in (*_COLUMNS, VERSION_TABLE))
_LAYOUT = {
    "sqlite": (
        "SELECT tables.name, columns.name FROM sqlite_master AS tables "
        "JOIN pragma_table_info(tables.name) AS columns "
        f"WHERE tables.type = 'table' AND tables.name IN ({_NAMES})"
    ),
    "postgresql": (
        "SELECT tables.relname, columns.attname FROM pg_class AS tables "
        "JOIN pg_attribute AS columns ON columns.attrelid = tables.oid "
        "WHERE columns.attnum > 0 AND NOT columns.attisdropped AND tables.relkind IN ('r', 'p') "
        f"AND pg_table_is_visible(tables.oid) AND tables.relname IN ({_NAMES})"
    ),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What is in a database.

    Attributes:
        columns: The columns of the catalog's tables that are there, by table.
        stamps: The revisions that the version table holds: one, if all is well.
    """

    columns: dict[str, set[str]]
    stamps: list[str]

    @property
    def revision(self) -> str | None:
        """The revision of the schema, or None if there is no catalog."""
        return self.stamps[0] if self.stamps else None


def look(connection: Connection) -> Layout:
    """Return what is in a database, by a query or two."""
    columns: dict[str, set[str]] = {}
    for table, column in connection.execute(text(_LAYOUT[connection.dialect.name])):
        columns.setdefault(table, set()).add(column)
    if "version_num" not in columns.pop(VERSION_TABLE, ()):
        return Layout(columns, [])
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars()
    return Layout(columns, sorted(map(str, found)))


def damage(layout: Layout) -> str | None:
    """Return what is wrong with a catalog, as it continues a sentence; None if nothing is.

    Of an older or newer schema the tables are not known here: migrating tells.
    """
    if not layout.stamps:
        tables = ", ".join(sorted(layout.columns))
        return f"it has tables ({tables}), but no revision of a schema" if tables else None
    if len(layout.stamps) > 1:
        return f"it says to be of several schemas: {', '.join(layout.stamps)}"
    (revision,) = layout.stamps
    if revision not in revisions.known_revisions():
        if is_newer(revision):
            return None
        return f"it says to be of schema {revision!r}, which never was one"
    if not layout.columns:
        return f"it says to be of schema {revision}, but has none of its tables"
    if revision != revisions.head_revision():
        return None
    return "; ".join(_differences(layout.columns)) or None


def is_newer(revision: str) -> bool:
    """Return whether a revision is one that a newer tracker may have."""
    return revision.isdecimal() and revision > revisions.head_revision()


def _differences(there: dict[str, set[str]]) -> Iterator[str]:
    for table, columns in _COLUMNS.items():
        if table not in there:
            yield f"the table {table} is missing"
            continue
        for what, names in (
            ("lacks", columns - there[table]),
            ("has the unknown", there[table] - columns),
        ):
            if names:
                kind = "column" if len(names) == 1 else "columns"
                yield f"{table} {what} {kind} {', '.join(sorted(names))}"


def drop_all(connection: Connection) -> None:
    """Drop the catalog's tables, as many as there are, and nothing of anybody else's."""
    for name in (*_COLUMNS, VERSION_TABLE):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
