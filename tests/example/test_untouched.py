"""A model is left as it was, whatever its forward writes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.training import same
from tracker.errors import InvalidArgumentError
from tracker.example.untouched import untouched

from .models import Failing, Restless


def state_of(model: nn.Module) -> dict[str, Any]:
    return {name: copy.deepcopy(vars(module)) for name, module in model.named_modules()}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (nn.Module, set)):
        return type(a) is type(b)
    return same(a, b)


def test_everything_that_a_forward_wrote_is_put_back() -> None:
    model = Restless()
    before, objects = state_of(model), dict(vars(model))
    for _ in range(2):
        with untouched(model):
            model(torch.ones(1, 3))
    assert equal(state_of(model), before)
    assert model.names == {"start"}
    assert all(vars(model)[name] is value for name, value in objects.items())


def test_what_was_not_written_is_not_written_when_it_is_put_back() -> None:
    model = nn.BatchNorm1d(3).eval()
    versions = [buffer._version for buffer in model.buffers()]
    with untouched(model):
        model(torch.ones(2, 3))
    assert [buffer._version for buffer in model.buffers()] == versions


def test_a_forward_that_fails_leaves_nothing_behind() -> None:
    model = Failing()
    with pytest.raises(RuntimeError, match="lights"), untouched(model):
        model(torch.ones(1))
    assert model.calls == 0


def test_modules_in_a_plain_list_are_put_back_too() -> None:
    model = nn.Module()
    model.hidden = [Restless()]
    with untouched(model):
        model.hidden[0](torch.ones(1, 3))
    assert model.hidden[0].calls == 0
    assert not model.hidden[0].seen.any()


def test_a_module_that_holds_itself_is_no_endless_walk() -> None:
    model = nn.Linear(2, 2)
    vars(model)["me"] = [model]
    with untouched(model):
        model(torch.ones(1, 2))
    assert model.me[0] is model


def test_a_buffer_of_nan_is_kept_bit_for_bit() -> None:
    model = nn.Module()
    model.register_buffer("mask", torch.tensor([float("nan"), -0.0]))
    with untouched(model):
        model.mask.zero_()
    assert model.mask.view(torch.int32).tolist() == [0x7FC00000, -0x80000000]


def test_a_buffer_whose_data_was_replaced_comes_back() -> None:
    model = nn.Module()
    model.register_buffer("cache", torch.zeros(2))
    cache = model.cache
    with untouched(model):
        model.cache.data = torch.ones(5)
    assert model.cache is cache
    assert torch.equal(cache, torch.zeros(2))


def test_a_read_only_array_is_no_problem() -> None:
    model = nn.Module()
    model.table = np.arange(3)
    model.table.flags.writeable = False
    with untouched(model):
        pass
    assert model.table.tolist() == [0, 1, 2]


def test_writing_into_a_parameter_is_refused_by_its_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with (
        pytest.raises(InvalidArgumentError, match=r"parameter '0\.weight'"),
        untouched(model),
        torch.no_grad(),
    ):
        model[0].weight.add_(1)


def test_a_backward_pass_in_progress_goes_on() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    loss = model(torch.randn(4, 3)).pow(2).sum()
    with untouched(model), torch.no_grad():
        model.eval()(torch.ones(1, 3))
    loss.backward()
    assert model[0].weight.grad is not None
    assert model.training
