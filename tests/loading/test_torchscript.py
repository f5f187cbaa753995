"""Programs of torch.jit are kept in torch's own format, if the user says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import tracker
from tests.models import Net
from tests.training import log, same
from tracker.errors import InvalidArgumentError, UntrustedCheckpointError

pytestmark = [
    pytest.mark.usefixtures("workplace"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


def traced() -> Any:
    return torch.jit.trace(Net(hidden=4).eval(), torch.randn(1, 4))


def test_a_program_is_stored_if_the_user_says_so() -> None:
    model = traced()
    checkpoint = tracker.log_checkpoint(model, epoch=1, torchscript=True).result()
    assert checkpoint.rebuild == "torchscript"
    again = checkpoint.load_model(trust="torchscript")
    x = torch.randn(3, 4)
    assert torch.equal(again(x), model(x))
    weights = checkpoint.load_state_dict()
    assert all(same(weights[key], value) for key, value in model.state_dict().items())
    assert "TorchScript" in str(checkpoint.explain(trust="torchscript"))


def test_loading_a_program_must_be_asked_for() -> None:
    checkpoint = tracker.log_checkpoint(traced(), epoch=1, torchscript=True).result()
    with pytest.raises(UntrustedCheckpointError, match="trust='torchscript'"):
        checkpoint.load_model()


def test_without_a_word_of_the_user_a_program_is_refused_with_the_ways_out() -> None:
    with pytest.raises(InvalidArgumentError, match="torchscript=True"):
        tracker.log_checkpoint(traced(), epoch=1)


def test_a_program_inside_of_a_model_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="contains a ScriptModule"):
        tracker.log_checkpoint(nn.Sequential(traced()), epoch=1, torchscript=True)


def test_an_ordinary_model_is_described_all_the_same() -> None:
    assert log(Net(hidden=4), epoch=1, torchscript=True).rebuild == "constructor"
