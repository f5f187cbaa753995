"""Which entries of a loaded file are the weights, and what the others are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models import Net
from tracker.errors import FormatError
from tracker.importing.contents import Contents
from tracker.importing.layouts import recognise

STATE = Net().state_dict()
OPTIMIZER = torch.optim.Adam(Net().parameters()).state_dict()


def read(loaded: Any) -> Contents:
    return recognise(loaded, "old/epoch=4.ckpt")


@pytest.mark.parametrize("name", ["model", "state_dict", "model_state_dict", "net", "my_weights"])
def test_a_dict_of_a_script_has_its_weights_under_any_name(name: str) -> None:
    found = read({name: STATE, "optimizer_state_dict": OPTIMIZER, "epoch": 3, "loss": 0.5})
    assert list(found.weights) == list(STATE)
    assert (found.optimizer, found.epoch, found.metrics) == (OPTIMIZER, 3, {"loss": 0.5})


def test_metrics_hyperparameters_and_settings_are_told_apart() -> None:
    found = read(
        {
            "model": STATE,
            "best_acc1": torch.tensor(76.0),
            "metrics": {"val": {"f1": 0.5}, "loss": 1},
            "config": {"hidden": 4, "optim": {"name": "sgd"}},
            "lr": 0.1,
            "seed": 7,
            "global_step": 100,
        }
    )
    assert found.metrics == {"best_acc1": 76.0, "val/f1": 0.5, "loss": 1.0}
    assert found.params == {"hidden": "4", "optim.name": "sgd", "lr": "0.1", "seed": "7"}
    assert found.step == 100


def test_several_models_are_the_parts_of_one_and_averages_are_states() -> None:
    found = read({"generator": STATE, "discriminator": STATE, "generator_ema": STATE})
    assert {key.partition(".")[0] for key in found.weights} == {"generator", "discriminator"}
    assert list(found.states) == ["generator_ema"]


def test_weights_are_found_a_level_deeper_and_among_loose_values() -> None:
    deeper = read({"checkpoint": {"model": STATE, "epoch": 3}})
    assert (list(deeper.weights), deeper.epoch) == (list(STATE), 3)
    beside = read({"model": {"state_dict": STATE, "sizes": [4]}, "epoch": 3})
    assert (list(beside.weights), beside.values) == (list(STATE), {"model": {"sizes": [4]}})
    loose = read({**STATE, "epoch": 3, "val_loss": 0.5})
    assert (set(loose.weights), loose.epoch, loose.metrics) == ({*STATE}, 3, {"val_loss": 0.5})


def test_several_optimizers_keep_their_names() -> None:
    found = read({"model": STATE, "optimizer_g": OPTIMIZER, "optimizer_d": OPTIMIZER})
    assert found.optimizer is None
    assert set(found.states) == {"optimizer_g", "optimizer_d"}


def test_keys_that_are_no_text_and_unknown_entries_are_kept() -> None:
    found = read({"model": STATE, 7: [1, 2], "history": {"loss": [0.5]}})
    assert found.values == {"7": [1, 2], "history": {"loss": [0.5]}}


def test_lightning_tells_epoch_step_hyperparameters_optimizer_and_score() -> None:
    callback = {"monitor": "val_loss", "current_score": torch.tensor(0.5), "best_k_models": {}}
    found = read(
        {
            "pytorch-lightning_version": "2.6.6",
            "state_dict": STATE,
            "epoch": 4,
            "global_step": 120,
            "optimizer_states": [OPTIMIZER],
            "lr_schedulers": [{"last_epoch": 4}],
            "hyper_parameters": {"hidden": 4},
            "callbacks": {"ModelCheckpoint{…}": callback},
            "loops": {"fit_loop": {}},
        }
    )
    assert (found.layout, found.epoch, found.step) == ("lightning", 4, 120)
    assert (found.metrics, found.params) == ({"val_loss": 0.5}, {"hidden": "4"})
    assert (found.optimizer, found.scheduler) == (OPTIMIZER, {"last_epoch": 4})
    assert "loops" in found.values


@pytest.mark.parametrize(
    ("callback", "score"),
    [
        ({"best_k_models": {"/x/epoch=4.ckpt": 0.1}, "current_score": 0.9}, 0.1),
        ({"best_model_path": "C:\\x\\epoch=4.ckpt", "best_model_score": 0.2}, 0.2),
        ({"best_model_path": "/x/epoch=2.ckpt", "best_model_score": 0.3}, None),
        ({"current_score": None, "best_model_path": "", "best_model_score": None}, None),
    ],
)
def test_a_score_counts_for_the_checkpoint_that_it_was_measured_on(
    callback: dict[str, Any], score: float | None
) -> None:
    callbacks = {"ModelCheckpoint": {"monitor": "val_loss", **callback}}
    found = read({"state_dict": STATE, "epoch": 4, "callbacks": callbacks, "loops": {}})
    assert found.metrics.get("val_loss") == score


def test_timm_and_ignite_are_recognised_by_what_they_alone_write() -> None:
    timm = read(
        {"epoch": 5, "arch": "net", "state_dict": STATE, "optimizer": OPTIMIZER, "version": 2,
         "args": {"eval_metric": "top1", "lr": 0.1}, "metric": 0.7, "state_dict_ema": STATE}
    )  # fmt: skip
    assert (timm.layout, timm.architecture, timm.metrics) == ("timm", "net", {"top1": 0.7})
    assert "state_dict_ema" in timm.states
    engine = {"epoch_length": 10, "max_epochs": 20, "iteration": 60}
    ignite = read({"model": STATE, "optimizer": OPTIMIZER, "trainer": engine})
    assert (ignite.layout, ignite.epoch, ignite.step) == ("ignite", 6, 60)


@pytest.mark.parametrize(
    "loaded", [{}, [1], torch.zeros(2), {"epoch": 3}, {"optimizer": OPTIMIZER}, "x"]
)
def test_a_file_without_weights_is_refused_with_what_was_expected(loaded: Any) -> None:
    with pytest.raises(FormatError, match=r"without weights|expected a model's state_dict"):
        read(loaded)
