"""The revisions of the catalog's schema, read from the names of its migrations.

Neither Alembic nor SQLAlchemy is needed to know which is the newest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tracker.errors import CatalogError

VERSION_TABLE = "tracker_alembic_version"


@cache
def head_revision() -> str:
    """Return the revision of the schema that this version of tracker uses."""
    return known_revisions()[-1]


@cache
def known_revisions() -> tuple[str, ...]:
    """Return every revision up to the one in use, the oldest first."""
    # File names start with the revision.
    scripts = (migrations() / "versions").glob("[0-9]*.py")
    return tuple(sorted(script.stem.partition("_")[0] for script in scripts))


@cache
def migrations() -> Path:
    """Return the directory of Alembic's scripts.

    Raises:
        CatalogError: It is not where an installation has it.
    """
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "migrations", package.parent / "migrations"):
        if (directory / "env.py").is_file():
            return directory
    raise CatalogError(
        f"The catalog's migrations are missing beside {package}: "
        "pip install --force-reinstall checkpoint-tracker."
    )
