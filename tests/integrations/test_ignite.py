"""Ignite's ``Checkpoint`` with tracker in the place of its ``DiskSaver``; on handwritten digits."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from ignite.engine import (
    DeterministicEngine,
    Engine,
    Events,
    create_supervised_evaluator,
    supervised_training_step,
)
from ignite.handlers import Checkpoint, DiskSaver, global_step_from_engine
from ignite.handlers.mlflow_logger import MLflowLogger
from ignite.handlers.param_scheduler import LinearCyclicalScheduler
from ignite.metrics import Accuracy, ConfusionMatrix, Loss
from mlflow.tracking import MlflowClient
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import tracker
from tests.training import same, state_of
from tracker.demo.digits import digits
from tracker.demo.train import DigitsNet
from tracker.errors import InvalidArgumentError, MismatchError, TrackerWarning
from tracker.integrations.ignite import TrackerSaver, load, resume, resume_latest

pytestmark = pytest.mark.usefixtures("workplace")


class Training:
    """A training of a small network, as Ignite's users write it; four batches make an epoch."""

    def __init__(
        self,
        kind: type[Engine] = Engine,
        seed: int = 0,
        loader: type[DataLoader[Any]] = DataLoader,
        workers: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        train, val = digits()["train"], digits()["val"]
        images = TensorDataset(train.images[:256], train.labels[:256])
        self.loader = loader(images, batch_size=64, shuffle=True, num_workers=workers)
        self.validation = DataLoader(TensorDataset(*val), batch_size=300)
        self.model = DigitsNet(channels=4, depth=1, dropout=0.2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=8)
        step = supervised_training_step(self.model, self.optimizer, functional.cross_entropy)
        self.trainer = kind(step)
        self.evaluator = create_supervised_evaluator(
            self.model,
            metrics={"accuracy": Accuracy(), "loss": Loss(functional.cross_entropy)},
        )
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.scheduler.step())
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.evaluate)
        self.to_save: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "trainer": self.trainer,
        }
        if loader is StatefulDataLoader:
            self.to_save["loader"] = self.loader

    def evaluate(self) -> None:
        self.evaluator.run(self.validation)

    def saver(self, **arguments: Any) -> TrackerSaver:
        return TrackerSaver(self.to_save, evaluators=self.evaluator, **arguments)

    def keep(self, event: Any = Events.EPOCH_COMPLETED, n_saved: int | None = None) -> Checkpoint:
        """Attach a handler that saves at an event of the trainer."""
        handler = Checkpoint(self.to_save, self.saver(), n_saved=n_saved)
        self.trainer.add_event_handler(event, handler)
        return handler

    def run(self, epochs: int) -> None:
        self.trainer.run(self.loader, max_epochs=epochs)
        tracker.flush()

    def state(self) -> list[Any]:
        return state_of(self.model, self.optimizer, self.scheduler, self.trainer)


def names() -> list[str]:
    return sorted(checkpoint.name for checkpoint in tracker.search_checkpoints())


class Killed(Exception):
    pass


def interrupt(training: Training, event: Any) -> None:
    """Let a training die at an event, with what it had in memory."""

    def die() -> None:
        raise Killed

    training.trainer.add_event_handler(event, die)
    with pytest.raises(Killed):
        training.run(3)


EPOCH, WITHIN = Events.EPOCH_COMPLETED, Events.ITERATION_COMPLETED(every=3)


@pytest.mark.parametrize(
    ("kind", "saved", "arguments"),
    [
        (Engine, EPOCH, {}),
        (Engine, WITHIN, {"loader": StatefulDataLoader}),
        (DeterministicEngine, EPOCH, {}),
        # Without a worker, Ignite's engine would draw other batches for the rest of the epoch.
        (DeterministicEngine, WITHIN, {"workers": 1}),
    ],
    ids=["epoch", "within an epoch", "deterministic, epoch", "deterministic, within an epoch"],
)
def test_a_training_that_died_and_was_resumed_ends_as_one_that_was_not_interrupted(
    kind: type[Engine], saved: Any, arguments: dict[str, Any]
) -> None:
    whole = Training(kind, **arguments)
    whole.keep(saved)
    whole.run(3)
    mlflow.end_run()
    mlflow.set_experiment("interrupted")

    first = Training(kind, **arguments)
    first.keep(saved)
    interrupt(first, Events.ITERATION_STARTED(once=8))

    second = Training(kind, seed=99, **arguments)
    second.keep(saved)
    checkpoint = resume_latest(second.to_save)
    assert checkpoint is not None
    assert checkpoint.experiment == "interrupted"
    assert second.trainer.state.iteration == (4 if saved is EPOCH else 6)
    second.run(3)

    assert same(whole.state(), second.state())
    assert same(whole.evaluator.state.metrics, second.evaluator.state.metrics)


def test_resuming_where_nothing_was_saved_is_none() -> None:
    assert resume_latest(Training().to_save, experiment=None) is None


def test_what_stays_is_what_a_disk_saver_would_have_kept(workplace: Path) -> None:
    training = Training()
    savers = {"disk": DiskSaver(workplace / "disk"), "tracker": training.saver()}
    handlers = {
        name: Checkpoint(
            training.to_save,
            saver,
            filename_prefix="best",
            score_name="accuracy",
            n_saved=2,
            global_step_transform=global_step_from_engine(training.trainer),
        )
        for name, saver in savers.items()
    }
    for handler in handlers.values():
        training.evaluator.add_event_handler(Events.COMPLETED, handler)
    training.run(5)

    kept = {path.name for path in (workplace / "disk").iterdir()}
    epochs = {int(name.split("_")[2]) for name in kept}
    checkpoints = tracker.search_checkpoints()
    assert {checkpoint.epoch for checkpoint in checkpoints} == epochs
    assert len(list(workplace.glob("mlruns/*/models/*/artifacts/checkpoint.json"))) == 2
    best = tracker.best_checkpoint("accuracy")
    assert handlers["tracker"].last_checkpoint == handlers["disk"].last_checkpoint.name
    assert best.metrics.keys() == {"accuracy", "loss"}
    stored = torch.load(handlers["disk"].last_checkpoint, weights_only=True)
    assert same(dict(best.load_model().state_dict()), dict(stored["model"]))


def test_handlers_of_one_moment_share_a_checkpoint_that_stays_while_one_of_them_keeps_it() -> None:
    training = Training()
    saver = training.saver()
    best = Checkpoint({"model": training.model}, saver, n_saved=1, score_function=lambda _: -1)
    first = Checkpoint({"model": training.model}, saver, n_saved=1, score_name="loss")
    latest = Checkpoint(training.to_save, saver, n_saved=1)
    for handler in (best, first, latest):
        training.trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
    training.trainer.state.metrics["loss"] = 0.5
    training.run(3)
    # The first two never get better than at the first epoch.
    assert names() == ["epoch-1", "epoch-3"]
    assert tracker.get_checkpoint(epoch=1).metrics["train_loss"] == 0.5
    assert best.last_checkpoint == "model_-1.pt"
    assert first.last_checkpoint == "model_loss=0.5000.pt"
    assert set(load(tracker.get_checkpoint(epoch=3))) == set(training.to_save)


def test_a_handler_that_saves_after_something_has_changed_has_a_checkpoint_of_its_own() -> None:
    training = Training()
    training.keep()
    training.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: training.scheduler.step())
    training.keep(n_saved=1)
    training.run(2)
    assert names() == ["epoch-1", "epoch-2", "epoch-2-step-8"]
    run = tracker.get_checkpoint(epoch=2).run_id
    history = MlflowClient().get_metric_history(run, "accuracy")
    assert sorted({metric.step for metric in history}) == [1, 2]


def test_metrics_that_were_measured_earlier_are_none_of_a_later_checkpoint() -> None:
    training = Training()
    training.keep(Events.ITERATION_COMPLETED(every=3))
    training.run(2)
    within = tracker.get_checkpoint(epoch=2, step=6)
    assert within.metrics == {}
    assert names() == ["epoch-1-step-3", "epoch-2-step-6"]


def test_evaluators_by_name_and_the_trainer_have_their_names_before_those_of_the_metrics() -> None:
    training = Training()
    saver = TrackerSaver(training.to_save, evaluators={"val": training.evaluator})
    training.trainer.state.metrics["running"] = torch.tensor(0.25)
    ConfusionMatrix(num_classes=10).attach(training.evaluator, "confusion")
    training.evaluator.add_event_handler(
        Events.COMPLETED, lambda engine: engine.state.metrics.update({"top@5": 0.75})
    )
    training.trainer.add_event_handler(
        Events.EPOCH_COMPLETED, Checkpoint(training.to_save, saver, n_saved=None)
    )
    with pytest.warns(TrackerWarning, match="'val_top@5' can't be logged") as warned:
        training.run(2)
    assert len(warned) == 1
    metrics = tracker.get_checkpoint(epoch=2).metrics
    assert metrics.keys() == {"val_accuracy", "val_loss", "train_running"}
    assert metrics["val_accuracy"] == training.evaluator.state.metrics["accuracy"]


def test_a_score_that_is_not_a_number_yet_wins_nowhere() -> None:
    training = Training()
    handler = Checkpoint(
        training.to_save, training.saver(), score_name="gain", score_function=lambda _: math.nan
    )
    training.trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
    training.run(1)
    assert math.isnan(tracker.get_checkpoint(epoch=1).metrics["gain"])


def test_ignites_own_logger_and_the_checkpoints_have_one_run() -> None:
    logger = MLflowLogger()
    training = Training()
    logger.attach_output_handler(
        training.evaluator,
        event_name=Events.EPOCH_COMPLETED,
        tag="validation",
        metric_names=["accuracy"],
        global_step_transform=global_step_from_engine(training.trainer),
    )
    training.keep()
    training.run(2)
    logger.close()
    checkpoint = tracker.get_checkpoint(epoch=2)
    run = mlflow.get_run(checkpoint.run_id)
    assert len(mlflow.search_runs()) == 1
    assert run.data.metrics["accuracy"] == run.data.metrics["validation accuracy"]
    history = MlflowClient().get_metric_history(checkpoint.run_id, "accuracy")
    assert [metric.step for metric in history] == [1, 2]


def test_what_is_registered_stays_when_ignite_removes_it() -> None:
    training = Training()
    training.keep(n_saved=1)
    training.run(1)
    tracker.get_checkpoint(epoch=1).register("digits")
    training.run(3)
    assert names() == ["epoch-1", "epoch-3"]
    assert tracker.load_model("models:/digits/1") is not None


def test_nothing_is_removed_before_what_follows_it_is_saved() -> None:
    training = Training()
    training.keep(n_saved=1)
    training.run(1)
    training.to_save["trainer"].state_dict_user_keys.append("unstorable")
    training.trainer.state.unstorable = object()
    with pytest.raises(tracker.TrackerError, match=r"state.trainer.*unstorable"):
        training.run(2)
    assert names() == ["epoch-1"]


def test_ignite_loads_what_was_saved_by_its_own_means() -> None:
    training = Training()
    training.keep()
    training.run(2)
    other = Training(seed=99)
    Checkpoint.load_objects(other.to_save, load(tracker.get_checkpoint(epoch=2)))
    assert same(training.state(), other.state())


def test_a_handler_that_was_saved_itself_removes_in_the_next_process_what_it_kept() -> None:
    with mlflow.start_run() as run:
        training = Training()
        handler = Checkpoint(training.to_save, training.saver(), n_saved=1, include_self=True)
        training.trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
        training.run(2)
    assert names() == ["epoch-2"]

    with mlflow.start_run(run.info.run_id):
        other = Training(seed=99)
        handler = Checkpoint(other.to_save, other.saver(), n_saved=1, include_self=True)
        other.trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
        resume_latest({**other.to_save, "checkpointer": handler})
        assert handler.last_checkpoint == "checkpoint_8.pt"
        other.run(3)
    assert names() == ["epoch-3"]


def test_what_an_earlier_process_kept_stays_unless_something_of_it_was_resumed() -> None:
    training = Training()
    handler = training.keep(n_saved=1)
    handler.load_state_dict({"_saved": [(4, "checkpoint_4.pt")]})
    with pytest.warns(TrackerWarning, match=r"removes checkpoint_4.pt, of which nothing is known"):
        training.run(2)


def gan() -> tuple[dict[str, Any], Engine]:
    generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
    trainer = Engine(lambda engine, batch: None)
    return {
        "generator": generator,
        "critic": critic,
        "optimizers": {
            "generator": torch.optim.Adam(generator.parameters()),
            "critic": torch.optim.SGD(critic.parameters(), lr=0.1, momentum=0.9),
        },
        "schedules": [LinearCyclicalScheduler(torch.optim.SGD([torch.zeros(1)], 1), "lr", 1, 0, 4)],
        "trainer": trainer,
    }, trainer


def test_several_models_nested_optimizers_and_ignites_schedulers_come_back() -> None:
    to_save, trainer = gan()
    saver = TrackerSaver(to_save, model="generator")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, Checkpoint(to_save, saver, n_saved=None))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, to_save["schedules"][0])
    trainer.run([0, 1, 2], max_epochs=2)
    checkpoint = tracker.get_checkpoint(epoch=2)
    assert checkpoint.model_text.startswith("Linear(in_features=2")

    other, _ = gan()
    resume(checkpoint, other)
    assert states(to_save) == states(other)
    third, _ = gan()
    Checkpoint.load_objects(third, load(checkpoint))
    assert states(to_save) == states(third)


def states(nesting: Any) -> Any:
    if isinstance(nesting, dict):
        return {name: states(part) for name, part in nesting.items()}
    if isinstance(nesting, list):
        return [states(part) for part in nesting]
    return repr(nesting.state_dict())


def test_to_resume_what_the_checkpoint_does_not_hold_changes_nothing() -> None:
    training = Training()
    saver = TrackerSaver({"model": training.model}, trainer=training.trainer)
    training.trainer.add_event_handler(
        Events.EPOCH_COMPLETED, Checkpoint({"model": training.model}, saver)
    )
    training.run(1)
    checkpoint = tracker.get_checkpoint(epoch=1)
    other = Training(seed=99)
    before = other.state()
    with pytest.raises(MismatchError, match="holds no optimizer, scheduler, trainer"):
        resume(checkpoint, other.to_save)
    assert same(before, other.state())
    assert resume_latest(other.to_save) is None
    resume(checkpoint, {"model": other.model})
    assert same(state_of(training.model), state_of(other.model))


def test_a_checkpoint_of_a_plain_loop_is_resumed_by_what_the_objects_are() -> None:
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    tracker.log_checkpoint(model, epoch=3, optimizer=optimizer)
    sgd = torch.optim.SGD(other.parameters(), lr=0.1)
    resume(f"runs:/{tracker.get_checkpoint().run_id}", {"net": other, "sgd": sgd})
    assert same(state_of(model, optimizer), state_of(other, sgd))
    with pytest.raises(MismatchError, match="not saved by a TrackerSaver"):
        load(tracker.get_checkpoint(epoch=3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda t: TrackerSaver({}), "expected the dict of objects"),
        (lambda t: TrackerSaver(t.model), "expected the dict of objects"),
        (lambda t: TrackerSaver({"trainer": t.trainer}), r"holds no torch.nn.Module \(trainer\)"),
        (lambda t: TrackerSaver({"model": t.model}), "no engine"),
        (lambda t: TrackerSaver({"model": t.model}, trainer=t), "expected the ignite Engine"),
        (lambda t: TrackerSaver({**t.to_save, "x": 3}), "x is a int, which has no state_dict"),
        (
            lambda t: TrackerSaver(
                {**t.to_save, "model": nn.Linear(1, 1), "b": t.model}, model="c"
            ),
            "c",
        ),
        (lambda t: TrackerSaver({"a": nn.Linear(1, 1), "b": t.model}), r"several modules \(a, b\)"),
        (lambda t: TrackerSaver(t.to_save, evaluators=[t.evaluator]), "expected an ignite Engine"),
    ],
)
def test_what_can_not_be_saved_is_refused_before_training(
    wrong: Callable[[Training], Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        wrong(Training())


def test_without_ignite_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("tracker.integrations.ignite")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ignite.engine", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'checkpoint-tracker\[ignite\]'"):
        importlib.import_module("tracker.integrations.ignite")
