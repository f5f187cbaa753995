"""What is recorded of an input and a model's output for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tracker.errors import InvalidArgumentError, UnstorableError
from tracker.example import recording
from tracker.example.recording import record

from .models import Failing, Random, Restless, Unrepeatable


class Anything(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return {"args": args, **kwargs}


def test_a_tensor_is_the_one_argument() -> None:
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    example = record(model, x)
    assert example.document == {
        "input": {"$tuple": [{"$tensor": "example_input.0"}]},
        "output": [["output", {"$tensor": "output"}]],
        "ignored": [],
        "deterministic": True,
        "random": False,
        "device": "cpu",
        "training": False,
    }
    assert torch.equal(example.tensors["example_input.0"], x)
    assert torch.equal(example.tensors["output"], model(x))


def test_an_array_is_given_to_the_model_as_a_tensor_nested_or_not() -> None:
    array = np.ones((1, 3), dtype=np.float32)
    example = record(nn.Linear(3, 2), array)
    assert example.document["input"] == {"$tuple": [{"$tensor": "example_input.0"}]}
    nested = record(Anything(), ({"a": [array]},))
    assert nested.document["output"] == [["output.args.0.a.0", {"$tensor": "output.args.0.a.0"}]]


def test_a_dict_gives_keyword_arguments_and_in_a_tuple_it_is_one_argument() -> None:
    x = torch.ones(1)
    assert record(Anything(), {"z": x, "n": 2}).document["output"] == [
        ["output.z", {"$tensor": "output.z"}],
        ["output.n", 2],
    ]
    assert [path for path, _ in record(Anything(), ({"n": 2},)).document["output"]] == [
        "output.args.0.n"
    ]


def test_one_tensor_given_twice_is_stored_once() -> None:
    x = torch.ones(3)
    assert record(Anything(), (x, x)).tensors.keys() == {"example_input.0", "output.args.0"}


def test_plain_values_that_json_lacks_are_kept_as_typed_values() -> None:
    document = record(Anything(), (float("nan"), slice(1, 2))).document
    assert document["input"]["$tuple"][0] == {"$float": "nan"}
    assert document["output"] == [["output.args.0", {"$float": "nan"}]]
    assert document["ignored"] == [["output.args.1", "builtins:slice"]]


def test_what_is_stored_is_nobody_elses() -> None:
    x = torch.ones(1, 3)
    example = record(nn.Identity(), x)
    x.zero_()
    assert all(tensor.all() for tensor in example.tensors.values())


def test_the_model_and_the_input_are_as_they_were() -> None:
    model, x = Restless().train(), torch.ones(1, 3)
    example = record(model, x)
    assert x.all()
    assert model.calls == 0
    assert model.training
    assert not model.seen.any()
    assert model.linear.weight.grad is None
    assert example.document["deterministic"]


def test_a_model_that_draws_from_torch_says_so_and_repeats() -> None:
    document = record(Random(), torch.ones(100)).document
    assert (document["deterministic"], document["random"]) == (True, True)


def test_a_model_that_can_not_be_repeated_says_so() -> None:
    assert record(Unrepeatable(), torch.ones(2)).document["deterministic"] is False


def test_a_model_that_fails_is_an_error_that_says_with_what() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"fails on example_input.*RuntimeError: the lights went out"
    ):
        record(Failing(), torch.ones(2))
    with pytest.raises(InvalidArgumentError, match=r"fails on example_input.*mat1 and mat2"):
        record(nn.Linear(3, 2), torch.ones(2, 4))


@pytest.mark.parametrize("wrong", [3, "text", [torch.ones(1)], {1: torch.ones(1)}, nn.Linear(1, 1)])
def test_another_input_is_refused_and_the_way_out_named(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"example_input=\(argument,\)"):
        record(Anything(), wrong)


def test_what_can_not_be_stored_is_refused_by_its_path() -> None:
    with pytest.raises(UnstorableError, match=r"^example_input\.mask"):
        record(Anything(), {"mask": object()})
    with pytest.raises(UnstorableError, match=r"^example_input\.0.*mkldnn"):
        record(Anything(), (torch.eye(2).to_mkldnn(),))


class Large(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.expand(2000)


def test_a_large_input_or_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 4000)
    with pytest.raises(InvalidArgumentError, match=r"at most 0 MB.*smaller input"):
        record(Failing(), torch.ones(2000))
    with pytest.raises(InvalidArgumentError, match="smaller input"):
        record(Large(), torch.ones(1))
