"""Quantised tensors are stored as integers, scales and zero points."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tracker.errors import FormatError, UnstorableError
from tracker.values import TensorTable, decode, encode

pytestmark = pytest.mark.filterwarnings("ignore")


def by_channel(axis: int) -> Tensor:
    scales, zero_points = torch.rand(3) + 0.1, torch.tensor([0, 1, 2])
    return torch.quantize_per_channel(torch.randn(3, 3), scales, zero_points, axis, torch.qint8)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.quantize_per_tensor(torch.randn(2, 3), 0.1, 3, torch.quint8),
        torch.quantize_per_tensor(torch.randn(4), 0.25, 0, torch.qint8),
        torch.quantize_per_tensor(torch.randn(0), 0.25, 0, torch.qint32),
        by_channel(0),
        by_channel(1),
    ],
)
def test_a_quantised_tensor_comes_back(tensor: Tensor) -> None:
    table = TensorTable()
    data = encode([tensor], "x", tensor=table.add)
    (again,) = decode(data, "x", tensor=lambda name, path: table.tensors[name])
    assert again.dtype == tensor.dtype
    assert again.qscheme() == tensor.qscheme()
    assert torch.equal(again, tensor)


def test_a_scheme_without_plain_parts_is_refused() -> None:
    scales, zero_points = torch.rand(3) + 0.1, torch.zeros(3)
    tensor = torch.quantize_per_channel(torch.randn(3, 3), scales, zero_points, 0, torch.quint4x2)
    with pytest.raises(UnstorableError, match="quint4x2"):
        encode(tensor, "x", tensor=TensorTable().add)


@pytest.mark.parametrize(
    "payload", [[], ["qint8", "x"], ["float32", "x", 1.0, 0], ["qint8", "x", "a", 0]]
)
def test_what_is_no_quantised_tensor_is_malformed(payload: Any) -> None:
    with pytest.raises(FormatError):
        decode({"$quantized": payload}, "x", tensor=lambda name, path: torch.ones(2).to(torch.int8))


@pytest.mark.parametrize(("scales", "zero_points", "axis"), [(1, 1, 0), (2, 3, 0), (3, 3, 5)])
def test_a_channel_without_a_scale_is_malformed(scales: int, zero_points: int, axis: int) -> None:
    tensors = {
        "i": torch.zeros(3, 2, dtype=torch.int8),
        "s": torch.ones(scales),
        "z": torch.zeros(zero_points, dtype=torch.int64),
    }
    with pytest.raises(FormatError):
        decode(
            {"$quantized": ["qint8", "i", "s", "z", axis]}, "x", tensor=lambda n, path: tensors[n]
        )
