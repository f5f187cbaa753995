"""The catalog follows MLflow: a mirror before each query, every catalog when it is made again."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.cli import gc as mlflow_gc
from mlflow.tracking import MlflowClient

import tracker
from tests.training import log
from tracker import catalog
from tracker.catalog import Engine, Scope
from tracker.errors import (
    CatalogDamagedError,
    RecordError,
    RecordUnreachableError,
    TrackerWarning,
)
from tracker.loading import mirror
from tracker.record import listing, retention

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def engine() -> Engine:
    """An empty catalog in a file of its own, as a mirror is."""
    return catalog.open_for_logging("sqlite:///mirror.db")


def ids(engine: Engine) -> set[str]:
    return {record.id for record in catalog.search(engine, Scope(), max_results=None)}


def in_experiment(name: str, **arguments: Any) -> tracker.Checkpoint:
    mlflow.end_run()
    mlflow.set_experiment(name)
    with mlflow.start_run():
        return log(**arguments)


def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is asked of MLflow from now on."""
    counted: Counter[str] = Counter()
    for name in ("search_experiments", "search_runs", "search_logged_models"):
        original = getattr(MlflowClient, name)

        def ask(self: MlflowClient, *a: Any, _name: str = name, _ask: Any = original, **k: Any):
            counted[_name] += 1
            return _ask(self, *a, **k)

        monkeypatch.setattr(MlflowClient, name, ask)
    return counted


def test_a_mirror_gets_everything_page_by_page(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {log(epoch=epoch).id for epoch in range(5)}
    monkeypatch.setattr(listing, "_PAGE", 2)
    mirror.update(engine)
    assert ids(engine) == made


def test_where_nothing_changed_two_requests_are_made_and_a_third_every_half_minute(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(epoch=1)
    mirror.update(engine)
    asked = requests(monkeypatch)
    mirror.update(engine)
    assert asked == {"search_experiments": 1, "search_logged_models": 1}
    began = time.time()
    for later, listed in ((29, 0), (31, 1), (60, 1), (62, 2), (-1, 3)):
        monkeypatch.setattr(mirror.time, "time", lambda later=later: began + later)
        mirror.update(engine)
        assert asked["search_runs"] == listed


def test_only_what_was_updated_since_is_asked_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_OVERLAP", 0)
    log(epoch=1)
    mirror.update(engine)
    new = log(epoch=2)
    pages: list[int] = []
    mirror.update(engine, pages.append)
    assert sum(pages) <= 2  # the last of before, as another of its millisecond might follow
    assert new.id in ids(engine)


def test_an_interrupted_update_goes_on_where_it_was(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {log(epoch=epoch).id for epoch in range(6)}
    monkeypatch.setattr(listing, "_PAGE", 2)
    monkeypatch.setattr(mirror, "_OVERLAP", 0)

    def interrupted(count: int) -> None:
        if catalog.count(engine, Scope()) >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirror.update(engine, interrupted)
    assert ids(engine) < made
    pages: list[int] = []
    mirror.update(engine, pages.append)
    assert ids(engine) == made
    assert len(pages) < 5  # from the start it would be five, as each begins where one ended


def test_many_of_one_millisecond_are_all_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    made = {log(epoch=epoch).id for epoch in range(5)}
    with closing(sqlite3.connect(workplace / "mlflow.db")) as database, database:
        database.execute("UPDATE logged_models SET last_updated_timestamp_ms = 1700000000000")
    monkeypatch.setattr(listing, "_PAGE", 2)
    mirror.update(engine)
    assert ids(engine) == made


def test_an_experiment_is_renamed_deleted_and_restored(engine: Engine) -> None:
    stays, other = log(epoch=1), in_experiment("digits", epoch=1)
    mirror.update(engine)
    client = MlflowClient()
    experiment_id = other.record.experiment_id
    client.rename_experiment(experiment_id, "numbers")
    mirror.update(engine)
    (renamed,) = catalog.search(engine, Scope(("numbers",)))
    assert renamed.id == other.id
    client.delete_experiment(experiment_id)
    mirror.update(engine)
    assert ids(engine) == {stays.id}
    assert catalog.experiment_names(engine) == ["Default"]
    client.restore_experiment(experiment_id)
    mirror.update(engine)
    assert ids(engine) == {stays.id, other.id}


def test_a_run_is_deleted_and_restored(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_DELETED_RUNS_EVERY", 0)
    stays, other = in_experiment("a", epoch=1), in_experiment("a", epoch=1)
    mirror.update(engine)
    MlflowClient().delete_run(other.run_id)
    mirror.update(engine)
    assert ids(engine) == {stays.id}
    mirror.update(engine)
    assert ids(engine) == {stays.id}
    MlflowClient().restore_run(other.run_id)
    mirror.update(engine)
    assert ids(engine) == {stays.id, other.id}


def test_a_run_comes_back_with_its_experiment(engine: Engine) -> None:
    kept = log(epoch=1)
    other = in_experiment("digits", epoch=1)
    mlflow.end_run()
    client = MlflowClient()
    client.delete_run(other.run_id)
    mirror.update(engine)
    client.delete_experiment(other.record.experiment_id)
    mirror.update(engine)
    assert ids(engine) == {kept.id}
    client.restore_experiment(other.record.experiment_id)  # MLflow restores all of its runs
    mirror.update(engine)
    assert ids(engine) == {kept.id, other.id}


def test_a_run_that_was_collected_does_not_come_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(mirror, "_DELETED_RUNS_EVERY", 0)
    stays, other = in_experiment("a", epoch=1), in_experiment("a", epoch=1)
    mlflow.end_run()
    MlflowClient().delete_run(other.run_id)
    mirror.update(engine)
    uri = "sqlite:///mlflow.db"
    collected = CliRunner().invoke(
        mlflow_gc, ["--backend-store-uri", uri, "--tracking-uri", uri, "--run-ids", other.run_id]
    )
    assert collected.exit_code == 0, collected.output
    assert MlflowClient().get_logged_model(other.id).source_run_id == other.run_id
    mirror.update(engine)
    assert ids(engine) == {stays.id}
    assert mirror.reindex() == 1


def test_a_mirror_is_brought_up_to_date_before_each_query(monkeypatch: pytest.MonkeyPatch) -> None:
    updated: list[Engine] = []
    monkeypatch.setattr(mirror, "update", updated.append)
    engines = [mirror.open_current("http://tracking.example:5000") for _ in range(2)]
    assert updated == engines


def test_a_catalog_beside_mlflow_is_asked_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    log(epoch=1)
    monkeypatch.delattr(mirror, "update")
    assert len(tracker.search_checkpoints()) == 1


def tables(file: Path) -> dict[str, list[Any]]:
    names = ("experiments", "checkpoints", "metrics", "params", "tags")
    with closing(sqlite3.connect(file)) as database:
        return {
            name: sorted(database.execute(f"SELECT * FROM tracker_{name}"), key=repr)
            for name in names
        }


def test_a_catalog_made_again_is_the_one_that_it_replaces(workplace: Path) -> None:
    log(epoch=1, metrics={"loss": 0.5, "nan": math.nan, "inf": math.inf}, tags={"a": "b"})
    log(epoch=2, step=7, metrics={"loss": 0.25})
    in_experiment("digits", metrics={"loss": -math.inf})
    before = tables(workplace / "mlflow.db")
    with closing(sqlite3.connect(workplace / "mlflow.db")) as database, database:
        for name in before:
            database.execute(f"DELETE FROM tracker_{name}")
    assert mirror.reindex() == 3
    again = tables(workplace / "mlflow.db")
    assert {e for e in again["experiments"] if e in before["experiments"]} == {
        *before["experiments"]
    }
    assert again | {"experiments": []} == before | {"experiments": []}


def test_damaged_tables_are_made_anew_and_filled_again(workplace: Path) -> None:
    made = [log(epoch=epoch, tags={"a": "b"}) for epoch in range(2)]
    with closing(sqlite3.connect(workplace / "mlflow.db")) as database, database:
        database.execute("DROP TABLE tracker_tags")
    with pytest.raises(CatalogDamagedError, match="tracker reindex --anew"):
        tracker.search_checkpoints()
    with pytest.raises(CatalogDamagedError):
        mirror.reindex()
    assert mirror.reindex(anew=True) == 2
    assert tracker.search_checkpoints(order_by=["epoch"]) == made


def test_tables_are_not_dropped_while_nothing_can_fill_them(workplace: Path) -> None:
    made = log(epoch=1)
    mlflow.end_run()
    os.environ["TRACKER_CATALOG_URI"] = f"sqlite:///{workplace}/mlflow.db"
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(RecordUnreachableError):
        mirror.reindex(anew=True)
    assert tracker.search_checkpoints() == [made]


def test_what_mlflow_does_not_hold_leaves_the_catalog() -> None:
    kept, deleted, hidden = (in_experiment("a", epoch=1) for _ in range(3))
    MlflowClient().delete_logged_model(deleted.id)
    MlflowClient().delete_run(hidden.run_id)
    assert mirror.reindex() == 1
    assert tracker.search_checkpoints() == [kept]
    MlflowClient().restore_run(hidden.run_id)
    assert mirror.reindex() == 2


def test_metrics_that_were_logged_later_are_found() -> None:
    checkpoint = log(epoch=1, metrics={"loss": 0.5})
    mlflow.log_metric("test_loss", 0.4, run_id=checkpoint.run_id, model_id=checkpoint.id)
    mirror.reindex()
    assert tracker.best_checkpoint("test_loss").metrics == {"loss": 0.5, "test_loss": 0.4}


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> tuple[tracker.Checkpoint, tracker.Checkpoint]:
    """Two checkpoints of one epoch, as a process leaves them that died before it retired one."""

    def die(*_: Any, **__: Any) -> bool:
        raise RecordError("died")

    old = log(epoch=6)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "retire", die)
        with pytest.warns(TrackerWarning, match="stays in MLflow"):
            new = log(epoch=6)
    return old, new


def test_the_older_of_two_leaves_mlflow(twins: tuple[Any, Any]) -> None:
    old, new = twins
    assert mirror.reindex() == 1
    assert [page.records for page in listing.pages({"0": "Default"})] == [[new.record]]
    with pytest.raises(mlflow.MlflowException):
        MlflowClient().get_logged_model(old.id)


def test_who_must_not_change_mlflow_leaves_the_older_there(
    engine: Engine, twins: tuple[Any, Any]
) -> None:
    old, new = twins
    assert mirror.reindex_catalog(engine, retire=False) == 1
    assert ids(engine) == {new.id}
    assert MlflowClient().get_logged_model(old.id).status == "READY"


def test_the_older_of_two_is_the_checkpoint_if_mlflow_has_lost_the_newer(
    twins: tuple[Any, Any],
) -> None:
    old, new = twins
    MlflowClient().delete_logged_model(new.id)
    assert mirror.reindex() == 1
    assert tracker.search_checkpoints() == [old]


def test_what_a_retention_has_deleted_leaves_a_mirror(engine: Engine) -> None:
    with mlflow.start_run():
        old = log(epoch=0)
        mirror.update(engine)
        assert ids(engine) == {old.id}
        new = log(epoch=1, retention=tracker.Retention(keep_last=1))
    mirror.update(engine)
    assert ids(engine) == {new.id}


def test_no_run_can_say_that_checkpoints_of_another_are_gone(engine: Engine) -> None:
    with mlflow.start_run():
        other = log(epoch=0)
    with mlflow.start_run():
        forged = log(epoch=0)
    retention.tell(MlflowClient(), forged.id, [other.id])
    mirror.update(engine)
    assert ids(engine) == {other.id, forged.id}
