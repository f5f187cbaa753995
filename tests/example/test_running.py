"""A model is run in eval mode, seeded, plain; and nobody notices."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tracker.errors import FormatError
from tracker.example.running import device_of, run

from .models import Failing, Random


class Spy(nn.Module):
    """Notes what it is called with, and in what surroundings."""

    noted: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout()
        self.linear = nn.Linear(2, 2)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        Spy.noted = {
            "args": args,
            "kwargs": kwargs,
            "training": [module.training for module in self.modules()],
            "gradients": torch.is_grad_enabled(),
            "autocast": torch.is_autocast_enabled("cpu"),
        }
        return self.linear(torch.ones(1, 2))


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def fetch(name: Any, path: str) -> Tensor:
    return {"x": X}[name]


X = torch.ones(1, 2)


def test_a_tuple_gives_positional_and_a_dict_keyword_arguments() -> None:
    run(Spy(), {"$tuple": [{"$tensor": "x"}, 3]}, fetch)
    assert torch.equal(Spy.noted["args"][0], X)
    assert Spy.noted["args"][1:] == (3,)
    run(Spy(), {"n": 3, "x": {"$tensor": "x"}}, fetch)
    assert Spy.noted["kwargs"].keys() == {"n", "x"}


def test_the_model_gets_a_copy_and_one_tensor_stays_one() -> None:
    run(Spy(), {"$tuple": [{"$tensor": "x"}, {"$tensor": "x"}]}, fetch)
    first, second = Spy.noted["args"]
    assert first is second
    assert first.data_ptr() != X.data_ptr()


def test_it_runs_in_eval_mode_without_gradients_or_autocast() -> None:
    model = Spy().train()
    model.dropout.eval()
    with torch.autocast("cpu"):
        found = run(model, {"$tuple": []}, fetch)
        assert torch.is_autocast_enabled("cpu")
    assert Spy.noted["training"] == [False, False, False]
    assert not Spy.noted["gradients"]
    assert not Spy.noted["autocast"]
    assert found.output.parts[0][1].dtype == torch.float32
    assert [module.training for module in model.modules()] == [True, False, True]
    assert torch.is_grad_enabled()


def test_the_flags_are_back_after_a_failure() -> None:
    model = Failing().train()
    with pytest.raises(RuntimeError, match="lights"):
        run(model, {"$tuple": [1]}, fetch)
    assert model.dropout.training
    assert model.calls == 0


def test_compiled_parts_run_as_they_were_written() -> None:
    model = Twice()
    calls: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        calls.append(graph)
        return graph.forward

    model.compile(backend=backend)
    run(model, {"$tuple": [{"$tensor": "x"}]}, fetch)
    assert calls == []
    model(X)
    assert calls != []


@pytest.mark.parametrize("source", ["torch", "others"])
def test_random_numbers_are_the_same_each_time_and_none_are_used_up(source: str) -> None:
    model, arguments = Random(source), {"$tuple": [{"$tensor": "x"}]}
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    first = run(model, arguments, fetch)
    drawn = random.random(), np.random.rand(), float(torch.rand(()))
    second = run(model, arguments, fetch)
    assert torch.equal(first.output.parts[0][1], second.output.parts[0][1])
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.rand(), float(torch.rand(())))
    assert first.random is (source == "torch")


def test_arguments_that_are_none_are_malformed() -> None:
    for arguments in ([1], 7, {"$dict": [[1, 2]]}):
        with pytest.raises(FormatError, match=r"example\.input"):
            run(Spy(), arguments, fetch)


def test_the_device_is_that_of_the_first_tensor() -> None:
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
    assert device_of(nn.BatchNorm1d(2, affine=False, device="meta")).type == "meta"
    assert device_of(nn.ReLU()).type == "cpu"
