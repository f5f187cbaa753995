from __future__ import annotations

import pytest

from tracker.direction import direction
from tracker.errors import InvalidArgumentError


@pytest.mark.parametrize(
    "metric",
    [
        "loss",
        "val_loss",
        "val/loss",
        "valLoss",
        "LOSS",
        "test-rmse",
        "perplexity",
        "top5.error",
        "mse2",
    ],
)
def test_losses_and_errors_are_better_when_smaller(metric: str) -> None:
    assert direction(metric, None) == "min"


@pytest.mark.parametrize(
    "metric", ["accuracy", "val_acc", "acc1", "valAccuracy", "mAP50", "f1", "test/auc", "IoU", "R2"]
)
def test_accuracies_and_scores_are_better_when_larger(metric: str) -> None:
    assert direction(metric, None) == "max"


@pytest.mark.parametrize(
    "metric",
    ["m", "score", "lossless", "glossary", "loss_accuracy", "neg_loss", "loss_scale", "lr", "höhe"],
)
def test_a_name_that_leaves_it_open_asks_for_the_mode(metric: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"mode='min' or mode='max' .*--mode min"):
        direction(metric, None)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_given_counts(mode: str) -> None:
    assert direction("val_loss", mode) == mode


@pytest.mark.parametrize("mode", ["MIN", "down", "", 1])
def test_another_mode_is_refused(mode: object) -> None:
    with pytest.raises(InvalidArgumentError, match="expected 'min', 'max' or None"):
        direction("val_loss", mode)  # type: ignore[arg-type]
