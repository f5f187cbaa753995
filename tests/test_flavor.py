"""MLflow's own tools load a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from tracker.flavor import TensorModel

from .models import Net
from .training import log

pytestmark = pytest.mark.usefixtures("workplace")


class Everything(nn.Module):
    """Answers with every kind of output."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, a: Tensor, b: Tensor | None = None) -> Any:
        return {
            "half": (a * self.weight).to(torch.bfloat16),
            "conjugate": torch.complex(a, a).conj(),
            "parts": (a, [a.long()]),
            "b": b,
            "weight": self.weight,
            "text": "x",
        }


@pytest.fixture
def net() -> Net:
    return Net(hidden=4).eval()


def predicted(model: nn.Module, data: Any) -> Any:
    checkpoint = log(model, epoch=1)
    return mlflow.pyfunc.load_model(f"models:/{checkpoint.id}").predict(data)


@pytest.mark.parametrize(
    "kind", [np.asarray, lambda x: x.astype(np.float64), pd.DataFrame, torch.tensor]
)
def test_mlflow_predicts_as_the_model_does(net: Net, kind: Any) -> None:
    data = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.tensor(data)).numpy()
    found = predicted(net, kind(data))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_registered_model_is_loaded_by_mlflow_too(net: Net) -> None:
    checkpoint = log(net, epoch=1)
    mlflow.register_model(f"models:/{checkpoint.id}", "Net")
    loaded = mlflow.pyfunc.load_model("models:/Net/1")
    assert loaded.predict(np.zeros((1, 4), np.float32)).shape == (1, 2)
    assert type(loaded.get_raw_model()) is Net


def test_the_model_is_in_eval_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4))
    data = np.ones((8, 4), np.float32)
    loaded = mlflow.pyfunc.load_model(f"models:/{log(model, epoch=1).id}")
    assert np.array_equal(loaded.predict(data), loaded.predict(data))


def test_arguments_by_name_and_every_kind_of_output() -> None:
    model = TensorModel(Everything().eval())
    found = model.predict({"a": np.array([1.0, 2.0]), "b": np.array([3])})
    assert found["half"].dtype == np.float32
    assert found["half"].tolist() == [1.0, 2.0]
    assert found["conjugate"].tolist() == [1 - 1j, 2 - 2j]
    assert found["parts"][0].dtype == np.float32
    assert found["parts"][1][0].tolist() == [1, 2]
    assert found["b"].dtype == np.int64
    assert found["weight"].tolist() == [1.0, 1.0]
    assert found["text"] == "x"


def test_whole_numbers_stay_whole_for_embeddings() -> None:
    model = TensorModel(nn.Embedding(5, 2))
    assert model.predict(np.array([1, 4])).shape == (2, 2)


def test_a_model_without_parameters_takes_the_data_as_it_is() -> None:
    found = TensorModel(nn.Identity()).predict(np.array([1.5], dtype=np.float64))
    assert found.dtype == np.float64


def test_importing_the_flavor_is_all_that_mlflow_needs(net: Net) -> None:
    directory = Path(log(net, epoch=1).record.artifact_uri)
    assert mlflow.pyfunc.load_model(str(directory)).predict(np.zeros((1, 4), np.float32)).shape == (
        1,
        2,
    )
