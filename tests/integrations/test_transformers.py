"""Transformers' ``Trainer`` with a `TrackerCallback`: what is logged, and how training goes on."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers.trainer_utils import HubStrategy

import tracker
from tests.integrations.transformers_training import (
    Digits,
    arguments,
    equal,
    trainer,
    vision_transformer,
    weights,
)
from tests.training import log, same
from tracker import Checkpoint
from tracker.api import sync
from tracker.errors import InvalidArgumentError, NotFoundError, TrackerWarning
from tracker.integrations.transformers import (
    TrackerCallback,
    checkpoint_folder,
    latest_checkpoint_folder,
    load_processing_class,
    save_pretrained_folder,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*was logged before:tracker.errors.TrackerWarning"),
    pytest.mark.usefixtures("workplace"),
]


def callback(**options: Any) -> TrackerCallback:
    return TrackerCallback(**{"checkpoint_folders": False, **options})


def logged() -> list[Checkpoint]:
    """Return all checkpoints, the oldest first."""
    return tracker.search_checkpoints()[::-1]


def steps() -> list[int | None]:
    return [checkpoint.step for checkpoint in logged()]


def runs() -> list[Any]:
    return mlflow.search_runs(output_format="list", search_all_experiments=True)


def evaluations(trained: Trainer) -> dict[int, dict[str, float]]:
    """Return what the Trainer says of its evaluations, by step."""
    return {entry["step"]: entry for entry in trained.state.log_history if "eval_loss" in entry}


@dataclass(frozen=True)
class Uninterrupted:
    """A training to its end, which several tests look at."""

    trained: Trainer
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    place: Path


@pytest.fixture(scope="module")
def _uninterrupted(shared_workplace: Path) -> Uninterrupted:
    trained = trainer(callback(tags={"team": "vision"}), run_name="digits")
    trained.train()
    state = trained.optimizer.state_dict()
    return Uninterrupted(trained, weights(trained.model), state, shared_workplace)


@pytest.fixture
def uninterrupted(_uninterrupted: Uninterrupted, monkeypatch: pytest.MonkeyPatch) -> Uninterrupted:
    """In its own place, where the test is then, too."""
    monkeypatch.chdir(_uninterrupted.place)
    mlflow.set_tracking_uri(f"sqlite:///{_uninterrupted.place}/mlflow.db")
    return _uninterrupted


def test_what_the_trainer_saves_is_durable_when_training_ends(uninterrupted: Uninterrupted) -> None:
    found = logged()
    assert {c.tags["team"] for c in found} == {"vision"}
    assert [(c.epoch, c.step, c.name) for c in found] == [
        (epoch, 16 * epoch, f"epoch-{epoch}-step-{16 * epoch}") for epoch in (1, 2, 3, 4)
    ]
    assert equal(found[-1].load_state_dict(), uninterrupted.weights)


def test_a_checkpoint_has_the_metrics_of_its_step_without_timings(
    uninterrupted: Uninterrupted,
) -> None:
    for checkpoint in logged():
        expected = evaluations(uninterrupted.trained)[checkpoint.step or 0]
        assert checkpoint.metrics.keys() == {
            *("eval_loss", "eval_accuracy", "loss", "learning_rate", "grad_norm")
        }
        assert checkpoint.metrics["eval_loss"] == expected["eval_loss"]
        assert checkpoint.metrics["eval_accuracy"] == expected["eval_accuracy"]


def test_the_best_model_is_found_and_rebuilt_and_computes_what_was_evaluated(
    uninterrupted: Uninterrupted,
) -> None:
    best = tracker.best_checkpoint("eval_loss")
    losses = {step: e["eval_loss"] for step, e in evaluations(uninterrupted.trained).items()}
    assert best.step == min(losses, key=losses.__getitem__)
    assert best.rebuild == "constructor"
    data = Digits("val", 300)
    with torch.no_grad():
        output = best.load_model()(pixel_values=data.images, labels=data.labels)
    assert float(output.loss) == pytest.approx(losses[best.step or 0], rel=1e-5)


def test_a_training_has_one_run_which_ends_with_it(uninterrupted: Uninterrupted) -> None:
    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("digits", "FINISHED")
    assert {checkpoint.run_id for checkpoint in logged()} == {run.info.run_id}
    assert mlflow.active_run() is None


def test_without_its_own_folders_the_trainer_writes_nothing(uninterrupted: Uninterrupted) -> None:
    assert os.listdir("out") == []


def test_configuration_arguments_and_state_lie_beside_the_model(
    uninterrupted: Uninterrupted,
) -> None:
    checkpoint = tracker.get_checkpoint(epoch=2)
    assert checkpoint.files == ("config.json", "trainer_state.json", "training_args.json")
    config = json.loads(checkpoint.read_file("config.json"))
    assert (config["architectures"], config["hidden_size"]) == (["ViTForImageClassification"], 16)
    assert json.loads(checkpoint.read_file("training_args.json"))["seed"] == 7
    state = json.loads(checkpoint.read_file("trainer_state.json"))
    assert (state["global_step"], state["epoch"]) == (32, 2.0)
    assert state["log_history"][-1]["eval_loss"] == checkpoint.metrics["eval_loss"]


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    resumed = trainer(callback(), output_dir=str(tmp_path))
    with checkpoint_folder(tracker.get_checkpoint(epoch=2)) as folder:
        assert folder
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), uninterrupted.weights)
    assert same(resumed.optimizer.state_dict(), uninterrupted.optimizer)
    expected = evaluations(uninterrupted.trained)
    for step, entry in evaluations(resumed).items():
        assert entry["eval_loss"] == expected[step]["eval_loss"]
    assert not Path(folder).exists()
    assert len(runs()) == 1


def test_a_resumed_training_takes_the_active_run_if_there_is_one(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    checkpoint = tracker.get_checkpoint(epoch=3)
    with mlflow.start_run() as run, checkpoint_folder(checkpoint) as folder:
        trainer(callback(), output_dir=str(tmp_path)).train(resume_from_checkpoint=folder)
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert tracker.get_checkpoint().run_id == run.info.run_id
    mlflow.delete_run(run.info.run_id)


def test_the_folder_of_a_checkpoint_is_one_for_from_pretrained(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    checkpoint = tracker.get_checkpoint(epoch=4)
    folder = save_pretrained_folder(checkpoint, tmp_path / "new" / "best")
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    assert equal(weights(model), uninterrupted.weights)
    assert not (folder / "trainer_state.json").exists()
    assert os.listdir(tmp_path / "new") == ["best"]
    with pytest.raises(InvalidArgumentError, match="not an empty folder"):
        save_pretrained_folder(checkpoint, folder)


def test_there_is_no_processing_class_where_the_trainer_had_none(
    uninterrupted: Uninterrupted,
) -> None:
    with pytest.raises(NotFoundError, match=r"no tokenizer or processor.*config\.json"):
        load_processing_class(tracker.get_checkpoint())


def test_none_is_no_folder_so_that_training_begins_anew() -> None:
    with checkpoint_folder(None) as folder:
        assert folder is None


def test_a_checkpoint_of_another_kind_of_training_is_refused() -> None:
    with (
        pytest.raises(InvalidArgumentError, match=r"not logged by TrackerCallback.*resume\(\)"),
        checkpoint_folder(log(epoch=1)),
    ):
        pass


def test_steps_with_accumulated_gradients_go_on_in_the_midst_of_an_epoch() -> None:
    options = {
        "num_train_epochs": 2,
        "gradient_accumulation_steps": 3,
        "save_strategy": "steps",
        "save_steps": 4,
        "eval_strategy": "no",
    }
    whole = trainer(callback(), **options)
    whole.train()
    assert steps() == [4, 8, 12]
    assert [checkpoint.epoch for checkpoint in logged()] == [None, None, 2]
    resumed = trainer(callback(), **options)
    with checkpoint_folder(tracker.get_checkpoint(step=4)) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), weights(whole.model))


def test_a_scheduler_that_goes_by_the_metric_goes_on_too() -> None:
    options = {
        "num_train_epochs": 3,
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.1, "threshold": 1.0},
        "metric_for_best_model": "accuracy",
    }
    whole = trainer(callback(), **options)
    whole.train()
    resumed = trainer(callback(), **options)
    with checkpoint_folder(tracker.get_checkpoint(epoch=2)) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), weights(whole.model))
    assert resumed.state.best_metric == whole.state.best_metric


def test_by_default_the_trainers_folders_are_written_as_well() -> None:
    whole = trainer(TrackerCallback(), num_train_epochs=2)
    whole.train()
    assert steps() == [16, 32]
    assert sorted(os.listdir("out")) == ["checkpoint-16", "checkpoint-32"]
    resumed = trainer(TrackerCallback(), num_train_epochs=2)
    with checkpoint_folder(tracker.get_checkpoint(step=16)) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), weights(whole.model))


def test_it_logs_to_the_run_of_transformers_own_callback() -> None:
    trained = trainer(TrackerCallback(), num_train_epochs=1, report_to="mlflow", run_name="theirs")
    trained.train()
    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("theirs", "FINISHED")
    assert tracker.get_checkpoint().run_id == run.info.run_id
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "eval_loss")
    assert {(m.step, m.value) for m in history} == {(16, evaluations(trained)[16]["eval_loss"])}


def test_it_logs_to_the_active_run_and_leaves_it_active() -> None:
    with mlflow.start_run() as run:
        trainer(callback(), num_train_epochs=1).train()
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert tracker.get_checkpoint().run_id == run.info.run_id


def test_each_training_of_a_trainer_has_a_run_of_its_own() -> None:
    trained = trainer(callback(), num_train_epochs=1)
    trained.train()
    trained.train()
    assert len({checkpoint.run_id for checkpoint in logged()}) == len(runs()) == 2


@pytest.mark.parametrize("strategy", ["epoch", "best"])
def test_the_best_model_is_loaded_at_the_end(strategy: str) -> None:
    trained = trainer(
        callback(),
        save_strategy=strategy,
        learning_rate=0.1,  # too much, so that it gets worse again
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    )
    trained.train()
    best = tracker.best_checkpoint("eval_accuracy")
    assert best.step == trained.state.best_global_step
    assert best.step != trained.state.global_step
    assert equal(weights(trained.model), best.load_state_dict())
    assert trained.state.best_model_checkpoint == f"models:/{best.id}"
    assert os.listdir("out") == []


def test_save_total_limit_says_which_stay_and_the_best_is_among_them() -> None:
    options = {"learning_rate": 0.1, "metric_for_best_model": "accuracy", "save_total_limit": 1}
    trained = trainer(callback(), **options)
    trained.train()
    assert steps() == [trained.state.best_global_step, trained.state.global_step]


def test_a_retention_goes_before_save_total_limit() -> None:
    options = {"num_train_epochs": 3, "save_total_limit": 1}
    trainer(callback(retention="all"), **options).train()
    assert steps() == [16, 32, 48]
    trainer(callback(retention=tracker.Retention(keep_every=2)), **options).train()
    assert steps() == [16, 32, 48, 32, 48]


def test_of_two_callbacks_the_last_one_logs() -> None:
    # As with tracker.autolog(), which has added one before.
    first, last = TrackerCallback(), callback(retention=tracker.Retention(keep_last=1))
    trainer(first, last, num_train_epochs=2).train()
    assert steps() == [32]
    assert len(runs()) == 1
    assert os.listdir("out") == []


def test_several_sets_of_evaluation_are_all_in_the_checkpoint() -> None:
    data: Any = {"seen": Digits("train", 100), "unseen": Digits("val", 100)}
    trainer(callback(), data=data, num_train_epochs=1).train()
    assert {"eval_seen_loss", "eval_unseen_accuracy"} < tracker.get_checkpoint().metrics.keys()


def test_only_the_model_is_stored_where_only_the_model_is_saved() -> None:
    trainer(callback(), num_train_epochs=1, save_only_model=True).train()
    with checkpoint_folder(tracker.get_checkpoint()) as folder:
        assert set(os.listdir(folder or "")) == {
            *("model.safetensors", "config.json", "trainer_state.json")
        }


def test_what_no_evaluation_went_before_has_no_such_metrics() -> None:
    trainer(callback(), num_train_epochs=1, eval_strategy="no", logging_strategy="no").train()
    assert tracker.get_checkpoint().metrics == {}


class Interrupting(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 20:
            raise KeyboardInterrupt


def test_what_was_logged_before_an_exception_is_saved() -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(callback(), Interrupting()).train()
    assert steps() == [16]
    mlflow.end_run()


def test_mixed_precision_activation_checkpointing_and_model_init_leave_a_plain_model() -> None:
    made = Trainer(
        model_init=lambda: vision_transformer(),
        args=arguments(num_train_epochs=1, bf16=True, activation_checkpointing=True),
        train_dataset=Digits("train", 64),
        eval_dataset=Digits("val", 64),
        callbacks=[callback()],
    )
    made.train()
    checkpoint = tracker.get_checkpoint()
    assert checkpoint.rebuild == "constructor"
    assert equal(checkpoint.load_state_dict(), weights(made.model))
    layers: Any = checkpoint.load_model()
    assert not any(layer.gradient_checkpointing for layer in layers.vit.layers)


class Net(nn.Module):
    """A module that knows nothing of Transformers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)
        )

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layers(pixel_values)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def test_any_module_is_logged_and_goes_on() -> None:
    torch.manual_seed(1)
    whole = trainer(callback(), model=Net(hidden=8), num_train_epochs=2)
    whole.train()
    checkpoint = tracker.get_checkpoint(epoch=1)
    assert checkpoint.model_text == "Net(hidden=8)"
    assert "config.json" not in checkpoint.files
    resumed = trainer(callback(), model=Net(hidden=8), num_train_epochs=2)
    with checkpoint_folder(checkpoint) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), weights(whole.model))
    with pytest.raises(InvalidArgumentError, match=r"Net, which has no save_pretrained\(\)"):
        save_pretrained_folder(checkpoint, "net")


def test_states_of_callbacks_that_are_to_be_restored_are_stored() -> None:
    options = {
        "learning_rate": 0.1,
        "num_train_epochs": 8,
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
        "restore_callback_states_from_checkpoint": True,
    }
    whole = trainer(callback(), EarlyStoppingCallback(2), **options)
    whole.train()
    resumed = trainer(callback(), EarlyStoppingCallback(2), **options)
    with checkpoint_folder(logged()[-2]) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert resumed.state.global_step == whole.state.global_step < 8 * 16
    assert equal(weights(resumed.model), weights(whole.model))
    assert os.listdir("out") == []


class Peculiar(torch.optim.SGD):
    """An optimizer that keeps what no checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lock": object()}


def test_weights_are_logged_without_an_optimizer_that_can_not_be_stored() -> None:
    model = vision_transformer()
    optimizer = Peculiar(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    made = Trainer(
        model=model,
        args=arguments(num_train_epochs=1),
        train_dataset=Digits("train", 64),
        eval_dataset=Digits("val", 64),
        optimizers=(optimizer, schedule),
        callbacks=[callback()],
    )
    with pytest.warns(TrackerWarning, match=r"step 2 is logged without optimizer.*lock"):
        made.train()
    assert equal(tracker.get_checkpoint().load_state_dict(), weights(model))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"push_to_hub": True, "hub_strategy": HubStrategy.EVERY_SAVE}, "contradict each other"),
        ({"deepspeed": "zero.json"}, "DeepSpeed"),
    ],
)
def test_arguments_that_can_not_be_followed_are_refused_when_training_begins(
    options: dict[str, Any], what: str
) -> None:
    args = arguments()
    for name, value in options.items():
        setattr(args, name, value)
    with pytest.raises(InvalidArgumentError, match=what):
        callback().on_train_begin(args, None, None)


def test_a_retention_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="retention=3"):
        TrackerCallback(retention=3)  # type: ignore[arg-type]


def test_a_training_that_is_begun_again_after_an_exception_stays_in_its_run() -> None:
    ours = callback()
    made = trainer(ours, Interrupting(), num_train_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        made.train()
    made.remove_callback(Interrupting)
    made.train()
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert mlflow.active_run() is None


def test_while_mlflow_is_not_asked_a_training_waits_on_the_disk_for_one_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    made = trainer(callback(), num_train_epochs=2, load_best_model_at_end=True, learning_rate=0.1)
    made.train()
    assert runs() == []
    monkeypatch.delenv("TRACKER_OFFLINE")
    sync()
    assert steps() == [16, 32]
    assert equal(weights(made.model), tracker.best_checkpoint("eval_loss").load_state_dict())
    assert len(runs()) == 1


def test_a_compiled_model_is_logged_as_what_was_compiled() -> None:
    trainer(callback(), max_steps=1, torch_compile=True, torch_compile_backend="eager").train()
    checkpoint = tracker.get_checkpoint()
    assert checkpoint.model_class.endswith(":ViTForImageClassification")
    assert checkpoint.load_model()


def test_a_script_that_is_started_again_goes_on_from_the_newest_checkpoint_that_is_whole() -> None:
    made = trainer(callback(), num_train_epochs=2)
    with latest_checkpoint_folder(made.model) as folder:
        assert folder is None
        made.train(resume_from_checkpoint=folder)
    with latest_checkpoint_folder(made.model) as folder:
        assert folder
        assert Path(folder).name == "checkpoint-32"
    newest = Path(tracker.get_checkpoint(step=32).record.artifact_uri)
    (newest / "files" / "trainer_state.json").write_text("{}")
    before = latest_checkpoint_folder(made.model, experiment="Default")
    with pytest.warns(TrackerWarning, match="the one before it is tried"):
        folder = before.__enter__()
    assert folder
    assert Path(folder).name == "checkpoint-16"
    before.__exit__(None, None, None)


def test_the_newest_checkpoint_of_another_class_is_not_taken() -> None:
    log(epoch=1)
    others = latest_checkpoint_folder(vision_transformer())
    with pytest.warns(TrackerWarning, match="none of a .*ViTForImageClassification"):
        assert others.__enter__() is None
    others.__exit__(None, None, None)


def test_a_gradient_scaler_goes_on_too() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    state = json.dumps({"global_step": 3}).encode()
    checkpoint = log(step=3, state={"scaler": scaler}, files={"trainer_state.json": state})
    with checkpoint_folder(checkpoint, continue_run=False) as folder:
        assert folder
        saved = torch.load(Path(folder) / "scaler.pt", weights_only=True)
    again = torch.amp.GradScaler("cpu")
    again.load_state_dict(saved)
    assert again.get_scale() == 8.0


def test_without_transformers_the_import_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [n for n in sys.modules if n.startswith("tracker.integrations.transformers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'checkpoint-tracker\[trans"):
        importlib.import_module("tracker.integrations.transformers")
