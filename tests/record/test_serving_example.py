"""An example as MLflow has it: whatever the input, MLflow reads what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow.models import Model
from torch import nn

from tracker.example.recording import record
from tracker.record.flavor_file import flavor_files
from tracker.types import Architecture

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64]
DTYPES += [torch.int64, torch.int32, torch.int8, torch.uint8, torch.uint16, torch.bool]
ARCHITECTURE = Architecture("constructor", "net:Net", "Net()")


class Echo(nn.Module):
    """Answers with its arguments, by name."""

    def forward(self, x: Any, y: Any = None, z: Any = None) -> Any:
        return x if y is None and z is None else {"x": x, "y": y, "z": z}


tensors = st.builds(
    lambda dtype, shape: torch.ones(shape).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
)
inputs = tensors | st.dictionaries(st.sampled_from("xyz"), tensors, min_size=1).map(
    lambda given: {"x": torch.zeros(1), **given}
)


@given(inputs)
def test_mlflow_reads_the_signature_and_the_example_that_were_written(given_input: Any) -> None:
    example = record(Echo(), given_input)
    tensors = example.tensors
    files = flavor_files("m-1", "run", ARCHITECTURE, example.document, tensors.__getitem__)
    model = Model.from_dict(yaml.safe_load(files["MLmodel"]))
    named = given_input if isinstance(given_input, dict) else {None: given_input}
    specs = {spec.name: spec for spec in model.signature.inputs.inputs}
    assert list(specs) == list(named)
    for name, tensor in named.items():
        wanted = (-1, *tensor.shape[1:]) if tensor.ndim else ()
        assert tuple(specs[name].shape) == wanted
    if model.saved_input_example_info is not None:
        plain = json.loads(files["input_example.json"])
        assert json.loads(files["serving_input_example.json"]) == {"inputs": plain}


@pytest.mark.parametrize("document", [None, {}, {"output": 1}, {"output": [], "input": 3}])
def test_what_is_no_example_gives_no_signature(document: Any) -> None:
    files = flavor_files("m-1", "run", ARCHITECTURE, document, {}.__getitem__)
    assert list(files) == ["MLmodel"]
    assert Model.from_dict(yaml.safe_load(files["MLmodel"])).signature is None
