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


def test_whole_numbers_are_floats_where_the_model_takes_no_others(net: Net) -> None:
    found = TensorModel(net).predict([[1, 2, 3, 4]])
    assert found.tolist() == TensorModel(net).predict([[1.0, 2.0, 3.0, 4.0]]).tolist()


def test_what_the_model_refuses_it_refuses(net: Net) -> None:
    for data in ([[1.0]], [[1]]):
        with pytest.raises(RuntimeError, match="shapes"):
            TensorModel(net).predict(data)


def test_a_model_without_parameters_takes_the_data_as_it_is() -> None:
    found = TensorModel(nn.Identity()).predict(np.array([1.5], dtype=np.float64))
    assert found.dtype == np.float64


def test_importing_the_flavor_is_all_that_mlflow_needs(net: Net) -> None:
    directory = Path(log(net, epoch=1).record.artifact_uri)
    assert mlflow.pyfunc.load_model(str(directory)).predict(np.zeros((1, 4), np.float32)).shape == (
        1,
        2,
    )


class Attention(nn.Module):
    """Takes two arguments and gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        scores = self.query(tokens).masked_fill(mask == 0, 0.0)
        return {"scores": scores, "best": scores.argmax(-1)}


def logged_with(model: nn.Module, example: Any) -> Path:
    return Path(log(model, epoch=1, example_input=example).record.artifact_uri)


def test_the_example_becomes_mlflows_signature_and_input_example(net: Net) -> None:
    directory = str(logged_with(net, torch.ones(2, 4)))
    info = mlflow.models.get_model_info(directory)
    assert info.signature.inputs.to_dict() == [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": (-1, 4)}}
    ]
    assert info.signature.outputs.inputs[0].shape == (-1, 2)
    example = info_example(directory)
    np.testing.assert_array_equal(example, np.ones((2, 4), np.float32))
    served = mlflow.models.Model.load(directory).get_serving_input(directory)
    assert served is not None
    found = mlflow.models.validate_serving_input(directory, served)
    with torch.no_grad():
        np.testing.assert_allclose(found, net(torch.ones(2, 4)).numpy(), rtol=1e-5)


def info_example(directory: str) -> Any:
    return mlflow.models.Model.load(directory).load_input_example(directory)


@pytest.mark.parametrize("by_name", [True, False])
def test_several_arguments_and_outputs_have_names(by_name: bool) -> None:
    model = Attention().eval()
    tokens, mask = torch.rand(1, 3, 4), torch.ones(1, 3, 4, dtype=torch.int64)
    example = {"tokens": tokens, "mask": mask} if by_name else (tokens, mask)
    directory = str(logged_with(model, example))
    signature = mlflow.models.get_model_info(directory).signature
    assert signature.inputs.input_names() == ["tokens", "mask"]
    assert [str(kind) for kind in signature.inputs.numpy_types()] == ["float32", "int64"]
    assert signature.outputs.input_names() == ["scores", "best"]
    served = mlflow.models.Model.load(directory).get_serving_input(directory)
    found = mlflow.models.validate_serving_input(directory, served)
    with torch.no_grad():
        np.testing.assert_allclose(found["scores"], model(tokens, mask)["scores"], rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "example", "has_outputs"),
    [
        (nn.Embedding(5, 2), torch.tensor([1, 2]), True),
        (nn.Linear(2, 2, dtype=torch.bfloat16), torch.ones(1, 2, dtype=torch.bfloat16), True),
        (nn.LSTM(3, 2), torch.ones(1, 1, 3), False),  # it gives tuples
        (nn.Identity(), torch.tensor(1.0), True),
        (nn.Identity(), torch.tensor([float("nan")]), True),
        (nn.Identity(), torch.ones(1, 1, dtype=torch.complex64), True),
        (nn.Identity(), torch.zeros(0, 2), True),
    ],
)
def test_mlflow_loads_and_asks_every_model_whose_input_it_can_express(
    model: nn.Module, example: Tensor, has_outputs: bool
) -> None:
    directory = str(logged_with(model, example))
    signature = mlflow.models.get_model_info(directory).signature
    assert signature is not None
    assert (signature.outputs is not None) == has_outputs
    array = (example.float() if example.dtype == torch.bfloat16 else example).numpy()
    assert mlflow.pyfunc.load_model(directory).predict(array) is not None


class Anything(nn.Module):
    def forward(self, x: Any, n: int = 1) -> Tensor:
        return torch.ones(n)


@pytest.mark.parametrize("example", [({"tokens": torch.ones(2)},), {"x": torch.ones(2), "n": 2}])
def test_an_input_that_mlflow_can_not_express_gives_no_signature(example: Any) -> None:
    directory = str(logged_with(Anything(), example))
    assert mlflow.models.get_model_info(directory).signature is None


def test_a_large_example_gives_a_signature_and_no_file(net: Net) -> None:
    directory = logged_with(net, torch.ones(3000, 4))
    assert mlflow.models.get_model_info(str(directory)).signature is not None
    assert not (directory / "input_example.json").exists()


def test_a_registered_version_brings_requirements_and_the_example(net: Net) -> None:
    checkpoint = log(net, epoch=1, example_input=torch.ones(1, 4))
    checkpoint.register("Net")
    uri = "models:/Net/1"
    info = mlflow.models.get_model_info(uri)
    assert info.signature is not None
    assert info.flavors["python_function"]["env"] == {
        "conda": "conda.yaml",
        "virtualenv": "python_env.yaml",
    }
    requirements = Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text().splitlines()
    names = {line.partition("==")[0] for line in requirements}
    assert {"checkpoint-tracker", "mlflow", "torch"} <= names
    assert not any("+" in line for line in requirements)  # builds that no index has
