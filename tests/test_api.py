"""The two lines that tracker is about, and the functions beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch

import tracker
from tracker import api
from tracker.errors import InvalidArgumentError

from .models import Net
from .training import log, same, state_of, train_epoch

pytestmark = pytest.mark.usefixtures("workplace")


def test_the_best_epoch_of_a_training_run_comes_back_without_its_parameters() -> None:
    mlflow.set_experiment("digits")
    model = Net(hidden=4, depth=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept: dict[int, Any] = {}
    with mlflow.start_run():
        for epoch, loss in enumerate([0.5, 0.1, 0.3]):
            train_epoch(model, optimizer, epoch)
            tracker.log_checkpoint(
                model, epoch=epoch, metrics={"val_loss": loss}, optimizer=optimizer
            )
            kept[epoch] = state_of(model)
    loaded = tracker.best_checkpoint("val_loss", experiment="digits").load_model()
    assert isinstance(loaded, Net)
    assert len(loaded.layers) == 3
    assert same(state_of(loaded), kept[1])


def test_a_model_is_loaded_from_whatever_names_its_checkpoint() -> None:
    model = Net(hidden=4)
    checkpoint = log(model, epoch=6)
    for source in (
        checkpoint,
        checkpoint.id,
        checkpoint.id[:10],
        f"runs:/{checkpoint.run_id}/epoch-6",
        f"models:/{checkpoint.id}",
    ):
        assert same(state_of(tracker.load_model(source)), state_of(model))


def test_options_of_loading_are_passed_on() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    assert tracker.load_model(checkpoint, device="meta").head.weight.is_meta

    class Other(Net):
        pass

    assert type(tracker.load_model(checkpoint.id, classes={"Net": Other})) is Other


@pytest.mark.parametrize("source", [5, None, Path("model.pt"), {"id": "m-1"}])
def test_what_names_no_checkpoint_is_refused(source: Any) -> None:
    for load in (tracker.load_model, lambda s: tracker.resume(s, model=Net(4))):
        with pytest.raises(InvalidArgumentError, match="expected a Checkpoint, an id or a URI"):
            load(source)


def test_resume_returns_the_checkpoint_so_that_the_loop_knows_where_to_go_on() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    model = Net(hidden=4)
    assert tracker.resume(checkpoint.id[:12], model=model).epoch == 6


def test_reindex_counts_what_mlflow_holds() -> None:
    log(epoch=1)
    log(epoch=2)
    assert api.reindex() == 2


def test_upgrading_the_database_names_it_and_its_schema() -> None:
    done = api.upgrade_database()
    assert done.uri == "sqlite:///mlflow.db"
    assert done.revision


def test_diagnose_returns_findings() -> None:
    log(epoch=1)
    assert all(finding.ok for finding in api.diagnose())
