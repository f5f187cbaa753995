"""Equal fingerprints, equal values, bit for bit."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tracker.rehearsal.fingerprint import fingerprint, shown

PAIRS: dict[str, tuple[Any, Any]] = {
    "sign of zero": (torch.tensor(0.0), torch.tensor(-0.0)),
    "dtype": (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    "shape": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "last bit": (torch.tensor(1.0), torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))),
    "nested": ({"a": [torch.zeros(1)]}, {"a": [torch.ones(1)]}),
    "keys": ({"a": 1}, {"b": 1}),
    "kinds of dict": ({"a": 1}, OrderedDict(a=1)),
    "numbers": (1, 1.0),
    "text": ("a", b"a"),
    "arrays": (np.zeros(2, dtype=np.int16), np.zeros(2, dtype=np.int32)),
    "sets": ({1, 2}, {1, 3}),
    "sparse": (torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse()),
    "quantised": (
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_what_differs_has_other_fingerprints(kind: str) -> None:
    one, other = PAIRS[kind]
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_how_a_tensor_lies_in_memory_does_not_matter() -> None:
    plain = torch.randn(4, 6)
    assert fingerprint(plain) == fingerprint(plain.t().contiguous().t())
    assert fingerprint(plain[:, ::2]) == fingerprint(plain[:, ::2].clone())
    assert fingerprint(torch.full((2,), float("nan"))) == fingerprint(
        torch.full((2,), float("nan"))
    )


def test_what_has_no_values_counts_by_its_class() -> None:
    assert fingerprint(nn.parameter.UninitializedParameter()) != fingerprint(None)
    assert fingerprint(torch.empty(2, device="meta")) == fingerprint(torch.empty(3, device="meta"))
    assert fingerprint(object()) == fingerprint(object())


def test_what_contains_itself_has_one() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert fingerprint(endless) == fingerprint(endless)


@pytest.mark.parametrize(
    ("value", "text"),
    [(torch.tensor(0.25), "0.25"), (None, "None"), (3, "3"), ({"loss": 1}, "a dict")],
)
def test_a_result_is_shown_as_a_number_or_by_its_class(value: Any, text: str) -> None:
    assert shown(value) == text
