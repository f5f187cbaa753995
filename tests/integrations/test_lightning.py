"""Lightning with tracker's checkpoints in the place of its own; on handwritten digits."""

from __future__ import annotations

import glob
import importlib
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import lightning
import mlflow
import pytest
import pytorch_lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger
from torch.utils.data import DataLoader

import tracker
from tests.training import same
from tracker.errors import InvalidArgumentError, NotFoundError, TrackerWarning
from tracker.integrations import pytorch_lightning as tracker_of_pytorch_lightning
from tracker.integrations.lightning import TrackerCheckpoint, TrackerCheckpointIO

from .lightning_training import (
    BATCHES,
    Backbone,
    ChangesItsDump,
    Classifier,
    TwoOptimizers,
    WithHyperparameters,
    classifier,
    fit,
    loaders,
    stateful_loaders,
)

pytestmark = [
    pytest.mark.usefixtures("workplace"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torchdata"),
]


def weights(trainer: Any) -> Any:
    return trainer.lightning_module.state_dict()


def optimizers(trainer: Any) -> Any:
    return [each.state_dict() for each in trainer.optimizers]


def names(run_id: str | None) -> list[str]:
    return sorted(each.name for each in tracker.search_checkpoints(run_id=run_id))


def status(run_id: str | None) -> str:
    return str(mlflow.get_run(run_id).info.status)


# What is in a checkpoint.


def test_the_module_is_rebuilt_although_it_saves_no_hyperparameters() -> None:
    callback = TrackerCheckpoint(monitor="val_loss")
    trainer = fit(classifier, callback, epochs=2)
    checkpoint = tracker.get_checkpoint(callback.run_id)
    assert checkpoint.rebuild == "constructor"
    assert checkpoint.model_text == "Classifier(backbone=Backbone(hidden=8))"
    assert checkpoint.metrics["val_loss"] == float(callback.best_model_score)
    model = tracker.load_model(callback.best_model_path)
    assert isinstance(model, Classifier)
    assert same(model.state_dict(), weights(trainer))
    assert not model.training
    # It is no part of the training that it came from, and may be trained anew.
    fit(model, TrackerCheckpoint(), epochs=1)


def test_a_module_in_training_is_rebuilt_from_a_plain_log_checkpoint_too() -> None:
    logged = []

    class Logs(lightning.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            logged.append(tracker.log_checkpoint(module, epoch=trainer.current_epoch).result())

    fit(classifier, Logs(), epochs=1, enable_checkpointing=False)
    assert logged[0].rebuild == "constructor"


def test_hyperparameters_come_back_as_they_were() -> None:
    callback = TrackerCheckpoint()
    fit(lambda: WithHyperparameters(8, options={"wide": [1, 2]}), callback, epochs=1)
    model = tracker.load_model(callback.best_model_path)
    assert model.hparams == {"hidden": 8, "options": {"wide": [1, 2]}}
    # Lightning's own way takes the URI as fsspec has it.
    uri = callback.best_model_path.replace("runs:/", "tracker://")
    again = WithHyperparameters.load_from_checkpoint(uri, weights_only=True)
    assert same(again.state_dict(), model.state_dict())


def test_of_a_compiled_module_the_module_itself_is_stored() -> None:
    callback = TrackerCheckpoint()
    module = classifier()
    module.backbone = torch.compile(Backbone(8), backend="eager")
    trainer = fit(module, callback, epochs=1)
    model = tracker.load_model(callback.best_model_path)
    assert same(list(model.state_dict().values()), list(weights(trainer).values()))
    assert not any("_orig_mod" in key for key in model.state_dict())


def test_averaged_weights_are_what_is_loaded_and_training_goes_on_with_both() -> None:
    def averaging() -> EMAWeightAveraging:
        return EMAWeightAveraging(device=None, decay=0.5)

    callback = TrackerCheckpoint(save_top_k=-1)
    whole = fit(classifier, averaging(), callback)
    # At the end of training Lightning puts the averaged weights into the module.
    assert same(tracker.load_model(callback.best_model_path).state_dict(), weights(whole))
    first = sorted(names(callback.run_id))[0]
    path = f"runs:/{callback.run_id}/{first}"
    resumed = fit(classifier, averaging(), TrackerCheckpoint(), seed=1, ckpt_path=path)
    assert same(weights(resumed), weights(whole))


def test_a_dump_that_the_module_has_changed_comes_back_but_for_what_needs_pickle() -> None:
    callback = TrackerCheckpoint()
    with pytest.warns(TrackerWarning, match=r"notes\.function: is a builtins\.function"):
        trainer = fit(ChangesItsDump, callback, epochs=1)
    # Nothing is missing in the model, whatever was left out of the dump.
    loaded = tracker.load_model(callback.best_model_path)
    assert same(loaded.state_dict(), weights(trainer))
    module = ChangesItsDump()
    with pytest.warns(TrackerWarning, match="notes"):
        fit(module, TrackerCheckpoint(), epochs=2, ckpt_path=callback.best_model_path)
    assert module.loaded_notes == {"seen": {1, 2}}
    assert module.loaded_keys == {key for key in weights(trainer) if "frozen" not in key}


def test_an_example_and_tags_go_into_every_checkpoint_and_weights_alone_can_be_kept() -> None:
    image = torch.zeros(1, 1, 8, 8)
    callback = TrackerCheckpoint(example_input=image, tags={"team": "a"}, save_weights_only=True)
    fit(classifier, callback, epochs=1)
    checkpoint = tracker.get_checkpoint(callback.run_id)
    assert checkpoint.tags["team"] == "a"
    assert "identical" in str(checkpoint.explain())
    with pytest.raises(KeyError, match="save_weights_only"):
        fit(classifier, TrackerCheckpoint(), ckpt_path=callback.best_model_path)


# Resuming.


@pytest.mark.parametrize(
    ("module", "options", "data", "at"),
    [
        (classifier, {}, loaders, "epoch-0-step-4"),
        (classifier, {"save_on_train_epoch_end": False}, loaders, "epoch-1-step-8"),
        (classifier, {"every_n_train_steps": 3}, stateful_loaders, "epoch-1-step-6"),
        (TwoOptimizers, {}, loaders, "epoch-0-step-8"),
    ],
    ids=["after an epoch", "after validation", "within an epoch", "two optimizers"],
)
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    module: Any, options: dict[str, Any], data: Any, at: str
) -> None:
    callback = TrackerCheckpoint(save_top_k=-1, **options)
    whole = fit(module, callback, data=data())
    path = f"runs:/{callback.run_id}/{at}"
    again = TrackerCheckpoint(save_top_k=-1, **options)
    resumed = fit(module, again, data=data(), seed=1, ckpt_path=path)
    assert same(weights(resumed), weights(whole))
    assert same(optimizers(resumed), optimizers(whole))
    assert same(dict(resumed.callback_metrics), dict(whole.callback_metrics))


def test_random_numbers_are_left_alone_if_that_is_wished() -> None:
    callback = TrackerCheckpoint(save_top_k=-1)
    whole = fit(classifier, callback, epochs=2)
    path = f"runs:/{callback.run_id}/epoch-0-step-{BATCHES}"
    other = TrackerCheckpoint(random_state=False)
    resumed = fit(classifier, other, epochs=2, seed=1, ckpt_path=path)
    assert not same(weights(resumed), weights(whole))


def test_the_last_checkpoint_of_a_run_is_found_and_the_run_goes_on() -> None:
    whole = fit(classifier, TrackerCheckpoint())
    first = TrackerCheckpoint(monitor="val_loss", save_last=True)
    fit(classifier, first, epochs=2)
    second = TrackerCheckpoint(monitor="val_loss", save_last=True, run_id=first.run_id)
    resumed = fit(classifier, second, seed=1, ckpt_path="last")
    assert same(weights(resumed), weights(whole))
    assert second.last_model_path == f"runs:/{first.run_id}/epoch-2-step-12"
    # What was best before the interruption is known.
    assert second.best_model_score <= first.best_model_score


def test_without_a_run_to_go_on_in_the_last_checkpoint_is_none_and_that_is_said() -> None:
    with pytest.warns(TrackerWarning, match="no run is named"):
        trainer = fit(classifier, TrackerCheckpoint(), epochs=1, ckpt_path="last")
    assert trainer.global_step == BATCHES


def test_validating_takes_uris_with_and_without_the_callback() -> None:
    callback = TrackerCheckpoint(monitor="val_loss")
    trainer = fit(classifier, callback, epochs=2)
    quiet = {"verbose": False}
    scores = [
        trainer.validate(classifier(), loaders()[1], ckpt_path=path, **quiet)
        for path in ("best", "last", callback.best_model_path)
    ]
    bare = lightning.Trainer(logger=False, plugins=[TrackerCheckpointIO()], accelerator="cpu")
    scores.append(
        bare.validate(classifier(), loaders()[1], ckpt_path=callback.best_model_path, **quiet)
    )
    plain = tracker.log_checkpoint(tracker.load_model(callback.best_model_path), epoch=9).result()
    scores.append(
        trainer.validate(
            classifier(), loaders()[1], ckpt_path=f"runs:/{plain.run_id}/epoch-9", **quiet
        )
    )
    assert len({each[0]["val_loss"] for each in scores}) == 1
    with pytest.raises(NotFoundError):
        trainer.validate(classifier(), loaders()[1], ckpt_path="runs:/0a1b2c/epoch-1")


def test_what_waits_in_the_spool_can_be_loaded_by_who_saved_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    callback = TrackerCheckpoint(monitor="val_loss")
    trainer = fit(classifier, callback, epochs=2)
    score = trainer.validate(classifier(), loaders()[1], ckpt_path="best", verbose=False)
    assert score[0]["val_loss"] == pytest.approx(float(callback.best_model_score))


# When it saves, and what stays.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"monitor": "val_accuracy", "mode": "max", "save_top_k": 2},
        {"monitor": "val_loss", "mode": "max", "save_last": True},
        {"monitor": "train_loss", "every_n_train_steps": 3, "save_top_k": 2, "save_last": True},
        {"every_n_epochs": 2, "save_top_k": -1},
        {"save_top_k": 0},
    ],
    ids=str,
)
def test_it_keeps_what_model_checkpoint_keeps(options: dict[str, Any], tmp_path: Path) -> None:
    ours = TrackerCheckpoint(**options)
    theirs = ModelCheckpoint(
        dirpath=tmp_path / "files",
        filename="epoch-{epoch}-step-{step}",
        auto_insert_metric_name=False,
        **options,
    )
    fit(classifier, ours, theirs, epochs=4)
    files = {Path(path).stem for path in glob.glob(f"{tmp_path}/files/epoch*.ckpt")}
    last = {ours.last_model_path.rpartition("/")[2]} - {""}
    kept = names(ours.run_id) if options != {"save_top_k": 0} else []
    assert set(kept) == files | last
    assert Path(ours.best_model_path).name == Path(theirs.best_model_path).stem
    assert ours.best_model_score == theirs.best_model_score
    assert [Path(path).name for path in ours.best_k_models] == [
        Path(path).stem for path in theirs.best_k_models
    ]


def test_callbacks_that_save_at_one_step_share_a_checkpoint_until_none_needs_it() -> None:
    best = TrackerCheckpoint(monitor="train_loss")
    worst = TrackerCheckpoint(monitor="train_loss", mode="max")
    newest = TrackerCheckpoint(every_n_epochs=1, monitor=None)
    fit(classifier, best, worst, newest)
    held = {best.best_model_path, worst.best_model_path, newest.best_model_path}
    assert {f"runs:/{best.run_id}/{name}" for name in names(best.run_id)} == held


def test_a_registered_checkpoint_stays() -> None:
    class Registers(lightning.Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 1:
                tracker.register(tracker.get_checkpoint(callback.run_id), "digits")

    callback = TrackerCheckpoint()
    fit(classifier, callback, Registers())
    assert names(callback.run_id) == ["epoch-0-step-4", "epoch-2-step-12"]


def test_nothing_is_saved_in_a_development_run() -> None:
    callback = TrackerCheckpoint()
    fit(classifier, callback, fast_dev_run=True)
    assert (callback.best_model_path, callback.run_id) == ("", None)
    assert mlflow.active_run() is None


@pytest.mark.parametrize(
    ("error", "ends_as"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_interrupted_training_has_saved_what_it_handed_over(
    error: BaseException, ends_as: str
) -> None:
    class Fails(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
            if trainer.global_step == BATCHES + 2:
                raise error

    callback = TrackerCheckpoint(save_on_exception=True)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises((ValueError, SystemExit)):
        fit(classifier, callback, Fails())
    signal.signal(signal.SIGINT, handler)  # Lightning leaves Ctrl-C ignored
    assert names(callback.run_id) == ["epoch-0-step-4", "epoch-1-step-6"]
    assert status(callback.run_id) == ends_as
    assert mlflow.active_run() is None


# Which run.


def test_a_run_of_its_own_ends_with_fit_and_goes_on_with_the_next() -> None:
    callback = TrackerCheckpoint(save_top_k=-1)
    trainer = fit(classifier, callback, epochs=1)
    run_id = callback.run_id
    assert (status(run_id), mlflow.active_run()) == ("FINISHED", None)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(trainer.lightning_module, *loaders())
    assert names(run_id) == ["epoch-0-step-4", "epoch-1-step-8"]
    other = TrackerCheckpoint()
    fit(classifier, other, epochs=1)
    assert other.run_id != run_id


def test_the_active_run_is_used_and_stays_active() -> None:
    with mlflow.start_run() as run:
        callback = TrackerCheckpoint()
        fit(classifier, callback, epochs=1)
        assert callback.run_id == run.info.run_id
        assert mlflow.active_run() is not None


def test_a_loggers_run_is_used_wherever_it_is_and_its_curves_stay_smooth(
    database_template: Path, tmp_path: Path
) -> None:
    shutil.copy(database_template, tmp_path / "elsewhere.db")
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    in_force = mlflow.get_tracking_uri()

    class SetsAnother(lightning.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            mlflow.set_tracking_uri(in_force)

    logger = MLFlowLogger("digits", tracking_uri=elsewhere, artifact_location=f"{tmp_path}/files")
    callback = TrackerCheckpoint(monitor="val_loss", save_top_k=-1)
    trainer = fit(classifier, callback, SetsAnother(), epochs=2, logger=[CSVLogger("."), logger])
    assert callback.run_id == logger.run_id
    trainer.validate(classifier(), loaders()[1], ckpt_path="best", verbose=False)
    mlflow.set_tracking_uri(elsewhere)
    assert names(callback.run_id) == ["epoch-0-step-4", "epoch-1-step-8"]
    history = logger.experiment.get_metric_history(callback.run_id, "val_loss")
    values: dict[int, set[float]] = {}
    for each in history:
        values.setdefault(each.step, set()).add(each.value)
    # The logger counts steps from 0, and logs what was validated last once more.
    assert {3, 7} <= values.keys() <= {3, 7, 8}
    assert all(len(each) == 1 for each in values.values())
    assert status(callback.run_id) == "FINISHED"


def test_names_of_metrics_that_mlflow_refuses_are_changed() -> None:
    class Logs(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *arguments: Any) -> None:
            module.log("precision@1", 0.5)

    callback = TrackerCheckpoint(monitor="precision@1", mode="max")
    fit(classifier, callback, Logs(), epochs=1)
    assert tracker.get_checkpoint(callback.run_id).metrics["precision1"] == 0.5


# What can't be.


def test_arguments_that_mean_files_are_taken_and_named_in_a_warning() -> None:
    with pytest.warns(TrackerWarning, match="dirpath='files' and filename=None have no effect"):
        TrackerCheckpoint(dirpath="files", monitor="val_loss")


def test_unusable_arguments_are_refused_before_training() -> None:
    with pytest.raises(InvalidArgumentError, match="reserved"):
        TrackerCheckpoint(tags={"tracker.mine": 1})
    with pytest.raises(NotFoundError, match="finding the run"):
        fit(classifier, TrackerCheckpoint(run_id="0a1b2c"))
    with mlflow.start_run() as run, pytest.raises(InvalidArgumentError, match="all of one save"):
        fit(classifier, TrackerCheckpoint(), TrackerCheckpoint(monitor="x", run_id="0a1b2c"))
    assert names_of_nothing(run.info.run_id)


def names_of_nothing(run_id: str) -> bool:
    with pytest.raises(NotFoundError):
        tracker.get_checkpoint(run_id)
    return True


def test_only_the_callbacks_own_uris_can_be_saved_and_files_stay_files(tmp_path: Path) -> None:
    callback = TrackerCheckpoint()
    trainer = fit(classifier, callback, epochs=1)
    trainer.save_checkpoint(tmp_path / "own.ckpt", weights_only=False)
    resumed = fit(classifier, TrackerCheckpoint(), epochs=2, ckpt_path=str(tmp_path / "own.ckpt"))
    assert resumed.global_step == 2 * BATCHES
    with pytest.raises(InvalidArgumentError, match="nothing that a checkpoint can be saved as"):
        trainer.save_checkpoint("runs:/0a1b2c/mine", weights_only=False)
    bare = TrackerCheckpointIO()
    with pytest.raises(InvalidArgumentError, match="there is no TrackerCheckpoint"):
        bare.save_checkpoint({}, "runs:/0a1b2c/epoch-0-step-1")


def test_a_strategy_that_shards_the_model_is_refused() -> None:
    strategy = lightning.pytorch.strategies.ModelParallelStrategy()
    trainer = lightning.Trainer(strategy=strategy, accelerator="cpu", devices=1, logger=False)
    with pytest.raises(InvalidArgumentError, match="ModelParallelStrategy has every process write"):
        TrackerCheckpoint().setup(trainer, None, "fit")


def test_without_lightning_an_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    name = "tracker.integrations.lightning.for_lightning"
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'checkpoint-tracker\[lightning\]'"):
        importlib.import_module(name)


# The other name of Lightning.


class Standalone(pytorch_lightning.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = torch.nn.Linear(4, width)

    def training_step(self, batch: Any, index: int) -> Any:
        return self.net(batch).pow(2).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_pytorch_lightning_has_a_callback_of_its_own() -> None:
    def trainer(callback: Any) -> Any:
        return pytorch_lightning.Trainer(
            max_epochs=1,
            callbacks=[callback],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )

    data = DataLoader(torch.zeros(4, 4), 2)
    callback = tracker_of_pytorch_lightning.TrackerCheckpoint()
    training = trainer(callback)
    training.fit(Standalone(3), data)
    assert training.checkpoint_callback is callback
    checkpoint = tracker.get_checkpoint(callback.run_id)
    assert checkpoint.load_model().net.out_features == 3
    with pytest.raises(InvalidArgumentError, match=r"tracker\.integrations\.pytorch_lightning"):
        trainer(TrackerCheckpoint()).fit(Standalone(3), data)
