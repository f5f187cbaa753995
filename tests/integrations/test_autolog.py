"""`tracker.autolog`: Trainers that know nothing of tracker have checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import pytest
import transformers.trainer

import tracker
from tracker.errors import InvalidArgumentError
from tracker.integrations import autolog
from tracker.integrations.lightning import AutomaticCheckpoint, TrackerCheckpoint
from tracker.integrations.transformers import TrackerCallback

from .lightning_training import classifier, fit


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    tracker.autolog(disable=True)


def added(**arguments: Any) -> list[Any]:
    trainer = lightning.Trainer(logger=False, accelerator="cpu", **arguments)
    return [each for each in trainer.callbacks if isinstance(each, AutomaticCheckpoint)]


@pytest.mark.usefixtures("workplace")
def test_a_trainer_of_lightning_logs_checkpoints() -> None:
    tracker.autolog(lightning={"monitor": "val_loss", "save_top_k": 2})
    trainer = fit(classifier, epochs=2, enable_checkpointing=False)
    [callback] = [each for each in trainer.callbacks if isinstance(each, AutomaticCheckpoint)]
    assert len(tracker.search_checkpoints(run_id=callback.run_id)) == 2
    best = tracker.best_checkpoint("val_loss", run_id=callback.run_id)
    assert f"runs:/{best.run_id}/{best.name}" == callback.best_model_path


@pytest.mark.usefixtures("workplace")
def test_beside_a_callback_of_the_programs_own_it_does_nothing() -> None:
    tracker.autolog(lightning={"save_top_k": -1})
    own = TrackerCheckpoint()
    trainer = fit(classifier, own, epochs=2)
    [callback] = [each for each in trainer.callbacks if isinstance(each, AutomaticCheckpoint)]
    assert (callback.best_model_path, callback.run_id) == ("", None)
    assert [each.name for each in tracker.search_checkpoints()] == ["epoch-1-step-8"]


def test_trainers_get_nothing_before_and_after() -> None:
    assert added() == []
    tracker.autolog()
    assert len(added()) == 1
    tracker.autolog(disable=True)
    assert added() == []


def test_transformers_begins_with_a_callback_made_with_the_arguments() -> None:
    before = list(transformers.trainer.DEFAULT_CALLBACKS)
    tracker.autolog(transformers={"checkpoint_folders": False})
    [entry] = [each for each in transformers.trainer.DEFAULT_CALLBACKS if each not in before]
    callback = entry()
    assert type(callback) is TrackerCallback
    assert callback.checkpoint_folders is False
    tracker.autolog()
    tracker.autolog(disable=True)
    assert before == transformers.trainer.DEFAULT_CALLBACKS


@pytest.mark.parametrize("arguments", [{"monitr": "val_loss"}, ["val_loss"]])
def test_arguments_that_the_callback_does_not_take_are_refused_at_once(arguments: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="val_loss"):
        tracker.autolog(lightning=arguments)
    assert autolog.lightning_callbacks() == []
