"""Every behaviour of the catalog is tested on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tracker.catalog import create_or_upgrade, open_catalog
from tracker.catalog.tables import Table

from ..conftest import NewDatabase

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.system)]


@pytest.fixture(scope="session")
def postgresql_catalog(new_postgresql_database: NewDatabase) -> str:
    uri = new_postgresql_database()
    create_or_upgrade(uri)
    return uri


@pytest.fixture(scope="session")
def sqlite_catalog_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "catalog.db"
    create_or_upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(params=DATABASES)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of a database that holds nothing; as SQLite, of a file that doesn't exist."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mlflow.db'}"
    new_database: NewDatabase = request.getfixturevalue("new_postgresql_database")
    return new_database()


@pytest.fixture(params=DATABASES)
def catalog_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of a catalog that holds no checkpoint."""
    if request.param == "sqlite":
        file = tmp_path / "mlflow.db"
        shutil.copy(request.getfixturevalue("sqlite_catalog_file"), file)
        return f"sqlite:///{file}"
    uri: str = request.getfixturevalue("postgresql_catalog")
    names = ", ".join(Table.metadata.tables)
    with open_catalog(uri).begin() as connection:
        connection.execute(text(f"TRUNCATE {names}"))
    return uri


@pytest.fixture
def catalog(catalog_uri: str) -> Engine:
    """A catalog that holds no checkpoint."""
    return open_catalog(catalog_uri)
