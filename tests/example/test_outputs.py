"""Any nesting of outputs is taken apart into paths and values."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tracker.example.outputs import copied, taken_apart

Pair = namedtuple("Pair", ["mean", "spread"])
ONE = torch.tensor([1.0])


@dataclass
class Detection:
    boxes: Tensor
    score: float


class ModelOutput(OrderedDict):
    """As transformers has it: a mapping that is a dataclass as well."""


@pytest.mark.parametrize(
    ("output", "paths"),
    [
        (ONE, ["output"]),
        (None, ["output"]),
        ((ONE, [ONE, 2]), ["output.0", "output.1.0", "output.1.1"]),
        ({"b": ONE, "a": {"c": 1.5}}, ["output.b", "output.a.c"]),
        (Pair(ONE, ONE), ["output.mean", "output.spread"]),
        (Detection(ONE, 0.5), ["output.boxes", "output.score"]),
        (ModelOutput(logits=ONE, loss=ONE), ["output.logits", "output.loss"]),
        (torch.max(torch.eye(2), 0), ["output.0", "output.1"]),
        ([], []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_nesting_has_a_path_for_each_part(output: Any, paths: list[str]) -> None:
    assert [path for path, _ in taken_apart(output).parts] == paths
    assert taken_apart(output).ignored == ()


def test_arrays_count_as_tensors_and_their_numbers_as_numbers() -> None:
    parts = dict(taken_apart({"a": np.arange(3), "b": np.float32(0.5)}).parts)
    assert torch.equal(parts["output.a"], torch.arange(3))
    assert parts["output.b"] == 0.5


def test_what_can_not_be_compared_is_named() -> None:
    output = taken_apart({"x": ONE, "cache": object(), "sparse": ONE.to_sparse()})
    assert [path for path, _ in output.parts] == ["output.x"]
    assert output.ignored == (
        ("output.cache", "builtins:object"),
        ("output.sparse", "torch:Tensor"),
    )


def test_an_output_that_contains_itself_comes_to_an_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    (path, kind), *_ = taken_apart(endless).ignored
    assert (path[:10], kind) == ("output.0.0", "builtins:list")


def test_tensors_are_copies_and_one_that_stands_twice_is_one() -> None:
    first, second = (value for _, value in taken_apart((ONE, ONE)).parts)
    assert first is second
    assert first.data_ptr() != ONE.data_ptr()


def test_a_copy_is_dense_and_has_no_gradient() -> None:
    odd = torch.randn(3, 1, requires_grad=True).expand(3, 4).t()
    made = copied(odd)
    assert made.is_contiguous()
    assert not made.requires_grad
    assert torch.equal(made, odd)
    assert not copied(torch.ones(2, dtype=torch.complex64).conj()).is_conj()
