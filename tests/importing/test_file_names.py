"""What the names of checkpoint files say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.importing.file_names import Named, read_name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("epoch=3-step=120-val_loss=0.12.ckpt", Named(3, 120, {"val_loss": 0.12})),
        ("model-epoch=03-val_loss=-0.50-v1.ckpt", Named(3, None, {"val_loss": -0.5})),
        ("epoch_12.pth", Named(12)),
        ("net_epoch_7.pth", Named(7)),
        ("epoch_12_loss_0.05.pth", Named(12, None, {"loss": 0.05})),
        ("epoch12-val_acc0.91.pt", Named(12, None, {"val_acc": 0.91})),
        ("best_model_5_val_acc=0.8700.pt", Named(5, None, {"val_acc": 0.87}, is_guess=True)),
        ("checkpoint-500", Named(None, 500, {}, is_guess=True)),
        ("checkpoint-12.pth.tar", Named(12, is_guess=True)),
        ("global_step_100", Named(None, 100)),
        ("iter_80000.pth", Named(None, 80000)),
        ("model_10.pth", Named(10, is_guess=True)),
        ("model_0.0123.pt", Named(None, None, {"score": 0.0123})),
        ("checkpoint_epoch=4_loss=1e-3.pt", Named(4, None, {"loss": 0.001})),
        ("last.ckpt", Named()),
        ("model_best.pth.tar", Named()),
        ("resnet50-0676ba61.pth", Named()),
        ("model_2024-11-03.pth", Named()),
        ("yolov5_v6.0.pt", Named()),
        ("epoch=99999999999999999999999.pt", Named()),
    ],
)
def test_conventions_of_trainers_and_scripts_are_understood(name: str, said: Named) -> None:
    assert read_name(name) == said


def test_a_metric_that_is_not_a_number_stays_one() -> None:
    assert math.isnan(read_name("epoch=2-val_loss=nan.ckpt").metrics["val_loss"])


@given(st.text())
def test_any_name_says_whole_numbers_from_zero_on_or_nothing(name: str) -> None:
    said = read_name(name)
    assert all(n is None or 0 <= n < 2**63 for n in (said.epoch, said.step))
