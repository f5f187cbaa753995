"""The catalog and MLflow in one database, whichever comes first.

These pin what MLflow does, so that a release that does otherwise is noticed.
"""

from __future__ import annotations

import mlflow
import mlflow.db
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from tracker.catalog import Scope, create_or_upgrade, open_catalog, put, search
from tracker.catalog.engines import make_engine, parse_uri

from .examples import record

pytestmark = pytest.mark.system


def use_mlflow(uri: str) -> None:
    """Log to MLflow, which makes its tables if need be."""
    client = mlflow.MlflowClient(tracking_uri=_for_mlflow(uri), registry_uri=_for_mlflow(uri))
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "loss", 0.5)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
    assert client.search_registered_models() == []


def upgrade_mlflow(uri: str) -> Result:
    """Run ``mlflow db upgrade``."""
    return CliRunner().invoke(mlflow.db.commands, ["upgrade", _for_mlflow(uri)])


def _for_mlflow(uri: str) -> str:
    # SQLAlchemy before 2.1 takes psycopg2 unless told otherwise.
    return uri.replace("postgresql:", "postgresql+psycopg:")


def use_catalog(uri: str) -> None:
    put(open_catalog(uri), record(1))
    assert search(open_catalog(uri), Scope()) == [record(1)]


def test_mlflow_first(empty_database: str) -> None:
    use_mlflow(empty_database)
    before = set(inspect(make_engine(parse_uri(empty_database))).get_table_names())

    create_or_upgrade(empty_database)

    after = set(inspect(open_catalog(empty_database)).get_table_names())
    assert before < after
    assert all(name.startswith("tracker_") for name in after - before)
    use_catalog(empty_database)
    use_mlflow(empty_database)


def test_the_catalog_first_and_then_mlflow_and_its_upgrade(empty_database: str) -> None:
    create_or_upgrade(empty_database)
    use_catalog(empty_database)

    use_mlflow(empty_database)
    upgraded = upgrade_mlflow(empty_database)

    assert upgraded.exit_code == 0, upgraded.output
    use_mlflow(empty_database)
    use_catalog(empty_database)


def test_mlflows_upgrade_of_a_database_that_holds_only_the_catalog_fails_and_can_be_mended(
    empty_database: str,
) -> None:
    create_or_upgrade(empty_database)

    failed = upgrade_mlflow(empty_database)
    assert isinstance(failed.exception, DBAPIError)

    use_catalog(empty_database)
    use_mlflow(empty_database)
    assert upgrade_mlflow(empty_database).exit_code == 0
    use_catalog(empty_database)
