"""The order of a save: what each failure in the middle leaves behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from click.testing import CliRunner
from mlflow.entities import LoggedModelStatus
from torch import nn

import tracker
from tests.models import Net
from tests.training import log
from tracker import api, catalog
from tracker.cli import cli
from tracker.errors import (
    CatalogError,
    CatalogVersionError,
    RecordError,
    StorageError,
    TrackerWarning,
)
from tracker.format import MANIFEST, open_checkpoint
from tracker.record import retention
from tracker.record.boundary import tracking_uri
from tracker.saving import content, destination, files, pipeline, publish
from tracker.saving.request import check_request
from tracker.saving.snapshot import take
from tracker.saving.ticket import Ticket

pytestmark = pytest.mark.usefixtures("workplace")


def statuses() -> list[LoggedModelStatus]:
    return [model.status for model in mlflow.search_logged_models(output_format="list")]


def accepted(**arguments: Any) -> pipeline.Accepted:
    """Return a checkpoint as the background gets it."""
    request = check_request(
        **{"epoch": None, "step": None, "metrics": None, "tags": None, **arguments}
    )
    snapshot = take(Net(hidden=4), optimizer=None, scheduler=None, state=None)
    return pipeline.Accepted(snapshot, request, destination.find(tracking_uri(), None))


def assert_nothing_visible() -> None:
    """The failed checkpoint is FAILED in MLflow, and neither the catalog nor a reindex has it."""
    assert statuses() == [LoggedModelStatus.FAILED]
    assert tracker.search_checkpoints() == []
    assert api.reindex() == 0
    assert list(Path("mlruns").rglob(MANIFEST)) == []


def make_newer(workplace: Path) -> None:
    with sqlite3.connect(workplace / "mlflow.db") as connection:
        connection.execute("UPDATE tracker_alembic_version SET version_num = '9999'")
    connection.close()


def test_a_checkpoint_is_whole_and_everywhere_when_log_checkpoint_returns(workplace: Path) -> None:
    checkpoint = log(epoch=6, metrics={"val_loss": 0.5}, tags={"a": "b"})
    directory = Path(checkpoint.record.artifact_uri)
    stored = open_checkpoint(directory, manifest_digest=checkpoint.record.manifest_digest)
    stored.verify()
    assert {"checkpoint.json", "MLmodel", "model.safetensors", "source"} == set(
        os.listdir(directory)
    )
    assert checkpoint.size == sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())
    assert statuses() == [LoggedModelStatus.READY]
    assert tracker.search_checkpoints() == [checkpoint]
    assert stored.manifest.environment["packages"]["torch"] == torch.__version__


def test_an_artifact_store_that_was_removed_is_made_again(workplace: Path) -> None:
    log(epoch=1)
    shutil.rmtree(workplace / "mlruns")
    assert log(epoch=2).load_model()


def test_a_file_in_the_way_of_the_store_is_named(workplace: Path) -> None:
    (workplace / "mlruns").write_text("in the way")
    with pytest.raises(StorageError, match=r"The folder .*mlruns.* can't be created"):
        log(epoch=1)
    assert_nothing_visible()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_can_not_be_written_is_named(workplace: Path) -> None:
    (workplace / "mlruns").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        log(epoch=1)
    (workplace / "mlruns").chmod(0o700)
    assert_nothing_visible()


def test_a_store_on_a_place_without_files_is_named() -> None:
    mlflow.create_experiment("digits", artifact_location="/proc/nowhere")
    mlflow.set_experiment("digits")
    with pytest.raises(StorageError, match="/proc/nowhere"):
        log(epoch=1)
    assert statuses() == [LoggedModelStatus.FAILED]


STEPS: list[tuple[Any, str]] = [
    (files, "write_checkpoint"),
    (pipeline.flavor_file, "flavor_files"),
    (content.source, "archive"),
    (publish.runs, "log_model_params"),
    (publish.runs, "log_metrics"),
    (publish.logged_models, "finish"),
]


@pytest.mark.parametrize(("room", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize(
    "error", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
def test_whatever_fails_before_ready_leaves_a_failed_model_and_no_checkpoint(
    monkeypatch: pytest.MonkeyPatch, room: Any, step: str, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(room, step, fail)
        with pytest.raises(type(error)):
            log(epoch=1, metrics={"val_loss": 0.5})
    assert statuses() == [LoggedModelStatus.FAILED]
    assert tracker.search_checkpoints() == []
    assert api.reindex() == 0
    log(epoch=1)
    assert len(tracker.search_checkpoints()) == 1


def test_a_disk_that_fills_up_while_a_tensor_is_written_leaves_no_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            log(epoch=1)
    assert_nothing_visible()


def test_a_catalog_that_is_newer_is_refused_before_anything_is_written(workplace: Path) -> None:
    log(epoch=1)
    make_newer(workplace)
    with pytest.raises(CatalogVersionError, match="9999"):
        log(epoch=2)
    assert statuses() == [LoggedModelStatus.READY]


def test_a_catalog_that_fails_after_ready_says_that_reindex_helps_and_it_does(
    workplace: Path,
) -> None:
    log(epoch=1)
    with sqlite3.connect(workplace / "mlflow.db") as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON tracker_checkpoints "
            "BEGIN SELECT RAISE(ABORT, 'no more checkpoints'); END"
        )
    with pytest.raises(CatalogError, match="no more checkpoints") as caught:
        log(epoch=2, metrics={"val_loss": 0.25})
    assert "`tracker reindex` enters it" in "".join(caught.value.__notes__)
    assert statuses() == [LoggedModelStatus.READY] * 2
    assert [c.epoch for c in tracker.search_checkpoints()] == [1]

    connection.execute("DROP TRIGGER broken")
    connection.close()
    done = CliRunner().invoke(cli, ["reindex"])
    assert done.output == "2 checkpoints are in the catalog.\n"
    assert tracker.best_checkpoint("val_loss").load_model()


def test_an_epoch_logged_twice_means_the_newer_and_mlflow_forgets_the_older() -> None:
    with mlflow.start_run():
        old = log(epoch=6, metrics={"val_loss": 0.1})
        with pytest.warns(TrackerWarning, match=f"was logged before: m-.* replaces {old.id}"):
            new = log(epoch=6, metrics={"val_loss": 0.9})
    assert tracker.search_checkpoints() == [new]
    assert tracker.best_checkpoint("val_loss") == new
    assert [m.model_id for m in mlflow.search_logged_models(output_format="list")] == [new.id]
    assert api.reindex() == 1


def test_the_warning_points_at_the_line_that_asked() -> None:
    log(epoch=6)
    pending = tracker.log_checkpoint(Net(hidden=4, depth=2), epoch=6)
    with pytest.warns(TrackerWarning) as caught:
        pending.result()
    assert caught[0].filename == __file__


def test_a_warning_made_an_error_still_leaves_one_checkpoint() -> None:
    log(epoch=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrackerWarning)
        with pytest.raises(TrackerWarning):
            log(epoch=6)
    assert len(tracker.search_checkpoints()) == 1
    assert statuses() == [LoggedModelStatus.READY]


@pytest.mark.parametrize(
    "change",
    [{"step": 1}, {"epoch": 7}, {"model": nn.Linear(1, 1)}],
    ids=["another step", "another epoch", "another class"],
)
@pytest.mark.filterwarnings("error::tracker.errors.TrackerWarning")
def test_only_the_same_epoch_step_and_class_is_replaced(change: dict[str, Any]) -> None:
    log(epoch=6)
    log(**{"epoch": 6, **change})
    assert len(tracker.search_checkpoints()) == 2


@pytest.mark.filterwarnings("error::tracker.errors.TrackerWarning")
def test_checkpoints_without_epoch_and_step_replace_nothing() -> None:
    log()
    log()
    assert len(tracker.search_checkpoints()) == 2


def test_an_older_model_that_mlflow_does_not_delete_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = log(epoch=6)

    def refuse(*_: Any, **__: Any) -> None:
        raise RecordError("not allowed")

    monkeypatch.setattr(retention, "retire", refuse)
    with pytest.warns(TrackerWarning, match=f"{old.id}, which stays in MLflow: not allowed"):
        new = log(epoch=6)
    assert tracker.search_checkpoints() == [new]
    assert api.reindex() == 1
    assert tracker.search_checkpoints() == [new]


def test_a_newer_one_that_another_process_logged_meanwhile_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, mine, newer = files.write_checkpoint, accepted(epoch=6), []

    def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(files, "write_checkpoint", write)
        newer.append(pipeline.save(mine, Ticket("newer", "")))
        return write(*arguments, **options)

    monkeypatch.setattr(files, "write_checkpoint", overtaken)
    ticket = Ticket("older", "")
    pipeline.save(mine, ticket)
    (warning,), _ = ticket.untold()
    assert "logged again by another process meanwhile" in warning
    assert [each.record for each in tracker.search_checkpoints()] == newer
    assert api.reindex() == 1


def lost_head() -> nn.Module:
    model = Net(hidden=4)
    model.act = lambda x: x
    return model


def test_a_model_that_can_not_be_rebuilt_is_saved_with_a_warning_that_names_the_reason() -> None:
    model = lost_head()
    with pytest.warns(TrackerWarning, match=r"loading them will need a model instance(.|\n)*act"):
        checkpoint = log(model, epoch=1)
    assert checkpoint.rebuild == "none"
    assert set(checkpoint.load_state_dict()) == set(model.state_dict())


def test_the_catalog_of_another_database_is_used_where_it_is_named(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CATALOG_URI", f"sqlite:///{workplace / 'catalog.db'}")
    checkpoint = log(epoch=1)
    assert tracker.search_checkpoints() == [checkpoint]
    engine = catalog.open_catalog(f"sqlite:///{workplace / 'catalog.db'}")
    assert catalog.count(engine, catalog.Scope()) == 1
