"""Fills tracker's catalog and MLflow's tables with the same checkpoints, past both their code."""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy import insert as insert_into

from catalogs.rows import EXPERIMENTS, Row, insert, metrics, rows
from tracker import catalog
from tracker.catalog.tables import Table
from tracker.record import tags

MODEL = ("benchmark:Net", "Net(depth=7)", "constructor", 1_000_000)
READY = 2  # MLflow's number for the status of a logged model


def fill_tracker(uri: str, count: int) -> None:
    """Fill the catalog; its indexes are made afterwards, which is faster."""
    catalog.create_or_upgrade(uri)
    engine = catalog.open_catalog(uri)
    indexes = [index for table in Table.metadata.sorted_tables for index in table.indexes]
    for index in indexes:
        index.drop(engine)
    insert(
        uri,
        "tracker_experiments",
        ("id", "name"),
        ((str(n), f"experiment-{n}") for n in range(1, EXPERIMENTS + 1)),
    )
    insert(
        uri,
        "tracker_checkpoints",
        (
            *("id", "run_id", "experiment_id", "name", "epoch", "step", "model_class"),
            *("model_text", "rebuild", "size", "created_at", "artifact_uri", "manifest_digest"),
        ),
        (
            (
                *(r.id, r.run_id, str(r.experiment), f"epoch-{r.epoch}", r.epoch, None, *MODEL),
                *(r.created_at, f"/mlruns/{r.experiment}/models/{r.id}/artifacts", "0" * 64),
            )
            for r in rows(count)
        ),
    )
    insert(
        uri,
        "tracker_metrics",
        ("checkpoint_id", "key", "value", "experiment_id", "run_id", "epoch", "created_at"),
        (
            (r.id, key, value, str(r.experiment), r.run_id, r.epoch, r.created_at)
            for r, key, value in metrics(rows(count))
        ),
    )
    insert(
        uri,
        "tracker_params",
        ("checkpoint_id", "key", "value", "value_prefix"),
        ((r.id, "depth", r.depth, r.depth) for r in rows(count)),
    )
    for index in indexes:
        index.create(engine)
    settle(uri)


def fill_mlflow(uri: str, count: int, artifacts: str) -> None:
    """Fill MLflow's tables as logging the same checkpoints with its client would."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, artifacts)  # makes the tables
    with store.engine.begin() as connection:
        connection.execute(
            insert_into(SqlExperiment),
            [
                {
                    "experiment_id": n,
                    "name": f"experiment-{n}",
                    "artifact_location": f"{artifacts}/{n}",
                    "lifecycle_stage": "active",
                }
                for n in range(1, EXPERIMENTS + 1)
            ],
        )
    _fill_runs(uri, count, artifacts)
    _fill_logged_models(uri, count)
    settle(uri)


def _fill_runs(uri: str, count: int, artifacts: str) -> None:
    last = {row.run_id: row for row in rows(count)}
    insert(
        uri,
        "runs",
        (
            *("run_uuid", "name", "user_id", "source_type", "source_name", "entry_point_name"),
            *("source_version", "status", "start_time", "end_time"),
            *("lifecycle_stage", "artifact_uri", "experiment_id"),
        ),
        (
            (
                *(r.run_id, "run", "somebody", "LOCAL", "", "", "", "FINISHED", r.created_at),
                *(r.created_at, "active", f"{artifacts}/{r.run_id}", r.experiment),
            )
            for r in last.values()
        ),
    )
    columns = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
    for table, of_runs in (("metrics", rows(count)), ("latest_metrics", last.values())):
        insert(
            uri,
            table,
            columns,
            (
                (key, value, r.created_at, r.epoch, False, r.run_id)
                for r, key, value in metrics(of_runs)
            ),
        )
    insert(
        uri,
        "params",
        ("key", "value", "run_uuid"),
        (("model.depth", r.depth, r.run_id) for r in last.values()),
    )


def _fill_logged_models(uri: str, count: int) -> None:
    insert(
        uri,
        "logged_models",
        (
            *("model_id", "experiment_id", "name", "artifact_location", "creation_timestamp_ms"),
            *("last_updated_timestamp_ms", "status", "lifecycle_stage", "source_run_id"),
        ),
        (
            (
                *(r.id, r.experiment, f"epoch-{r.epoch}", f"/mlruns/{r.experiment}/models/{r.id}"),
                *(r.created_at, r.created_at, READY, "active", r.run_id),
            )
            for r in rows(count)
        ),
    )
    insert(
        uri,
        "logged_model_metrics",
        (
            *("model_id", "metric_name", "metric_timestamp_ms", "metric_step", "metric_value"),
            *("experiment_id", "run_id"),
        ),
        (
            (r.id, key, r.created_at, r.epoch, value, r.experiment, r.run_id)
            for r, key, value in metrics(rows(count))
        ),
    )
    insert(
        uri,
        "logged_model_params",
        ("model_id", "experiment_id", "param_key", "param_value"),
        ((r.id, r.experiment, "depth", r.depth) for r in rows(count)),
    )
    insert(
        uri,
        "logged_model_tags",
        ("model_id", "experiment_id", "tag_key", "tag_value"),
        (
            (r.id, r.experiment, key, value)
            for r in rows(count)
            for key, value in tags_of(r).items()
        ),
    )


def tags_of(row: Row) -> dict[str, str]:
    """Return the tags that tracker gives a logged model, from which a catalog is made again."""
    known = tags.create_tags(
        epoch=row.epoch,
        step=None,
        model_class=MODEL[0],
        model_text=MODEL[1],
        rebuild="constructor",
        tags={},
    )
    return known | tags.finish_tags(size=MODEL[3], manifest_digest="0" * 64, metrics={})


def settle(uri: str) -> None:
    """Let PostgreSQL do what its autovacuum does after a while; SQLite does nothing by itself."""
    if uri.startswith("postgresql"):
        engine = create_engine(uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
