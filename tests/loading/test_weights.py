"""The weights alone: all of them or those of a part, on a device, in a dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tracker
from tests.models import Buffers, Containers, Net, Parametrized, Tied
from tests.training import log, same, state_of
from tracker.errors import CorruptCheckpointError, InvalidArgumentError, NotFoundError
from tracker.loading.weights import check_prefix

pytestmark = pytest.mark.usefixtures("workplace")


def flip_first_byte_of(checkpoint: tracker.Checkpoint, values: torch.Tensor) -> None:
    """Damage one tensor in its file, which is found by its bytes."""
    path = Path(checkpoint.record.artifact_uri) / "model.safetensors"
    data = bytearray(path.read_bytes())
    at = data.index(values.detach().numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("prefix", ["layers.1", "layers.1."])
def test_a_part_comes_by_the_keys_that_it_has_itself(prefix: str) -> None:
    model = Net(hidden=4, depth=2)
    state = log(model, epoch=1).load_state_dict(prefix=prefix)
    part = nn.Linear(4, 4)
    part.load_state_dict(state)
    assert same(state_of(part), state_of(model.layers[1]))


@pytest.mark.parametrize("make", [Tied, Containers, Parametrized, lambda: Net(4, 2)])
def test_every_part_of_a_model_has_the_state_dict_that_torch_gives(make: Any) -> None:
    model = make()
    checkpoint = log(model, epoch=1)
    for name, part in model.named_modules(remove_duplicate=False):
        expected = part.state_dict()
        if expected:
            state = checkpoint.load_state_dict(prefix=name)
            assert same(dict(sorted(state.items())), dict(sorted(expected.items()))), name


def test_a_part_is_a_whole_name_not_the_beginning_of_one() -> None:
    checkpoint = log(nn.ModuleDict({"a": nn.Linear(1, 1), "ab": nn.Linear(2, 2)}), epoch=1)
    assert checkpoint.load_state_dict(prefix="a")["weight"].shape == (1, 1)


@pytest.mark.parametrize("prefix", [None, ""])
def test_without_a_prefix_everything_comes(prefix: str | None) -> None:
    model = Net(hidden=4, depth=2)
    state = log(model, epoch=1).load_state_dict(prefix=prefix)
    assert same(dict(sorted(state.items())), dict(sorted(model.state_dict().items())))


def test_a_compiled_part_is_found_by_its_plain_name_and_by_torchs() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    checkpoint = log(model, epoch=1)
    for prefix in ("1", "_orig_mod.1"):
        assert torch.equal(checkpoint.load_state_dict(prefix=prefix)["weight"], model[1].weight)


def test_tied_tensors_of_a_part_come_though_another_part_stores_them() -> None:
    model = Tied()
    checkpoint = log(model, epoch=1)
    for prefix in ("embedding", "head"):
        state = checkpoint.load_state_dict(prefix=prefix)
        assert same(state, {"weight": model.embedding.weight.detach()})


def test_only_the_part_is_verified() -> None:
    model = Net(hidden=4, depth=2)
    checkpoint = log(model, epoch=1)
    flip_first_byte_of(checkpoint, model.head.weight)
    assert checkpoint.load_state_dict(prefix="layers")
    with pytest.raises(CorruptCheckpointError, match=r"tensor 'head\.weight' differs"):
        checkpoint.load_state_dict(prefix="head")


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("layer.1", r"has no part 'layer\.1'.*layers\.1"),
        ("nothing.like.it", "for example: head, layers"),
        ("head.weight", r"'head\.weight' is a tensor of Net\(hidden=4, depth=2\), not a part"),
    ],
)
def test_a_part_that_is_not_there_is_not_found_and_near_ones_are_named(
    prefix: str, message: str
) -> None:
    with pytest.raises(NotFoundError, match=message):
        log(Net(hidden=4, depth=2), epoch=1).load_state_dict(prefix=prefix)


@pytest.mark.parametrize(
    ("prefix", "start"),
    [(None, ""), ("", ""), ("a", "a."), ("a.", "a."), ("a._orig_mod.b", "a.b."), ("_orig_mod", "")],
)
def test_a_prefix_is_how_keys_begin(prefix: str | None, start: str) -> None:
    assert check_prefix(prefix) == start
    assert check_prefix(start) == start


@pytest.mark.parametrize("prefix", [5, b"layers", ["layers"]])
def test_a_prefix_is_text(prefix: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="prefix="):
        log(Net(hidden=4), epoch=1).load_state_dict(prefix=prefix)


def test_a_sparse_tensor_belongs_to_its_part() -> None:
    model = nn.ModuleDict({"a": nn.Module(), "b": nn.Linear(1, 1)})
    model["a"].register_buffer("sparse", torch.eye(3).to_sparse())
    state = log(model, epoch=1).load_state_dict(prefix="a")
    assert list(state) == ["sparse"]
    assert torch.equal(state["sparse"].to_dense(), torch.eye(3))


def test_only_floating_point_tensors_are_converted() -> None:
    model = Buffers()
    checkpoint = log(model, epoch=1)
    state = checkpoint.load_state_dict(dtype=torch.float64)
    assert state["kept"].dtype == torch.float64
    loaded = checkpoint.load_model(dtype=torch.float64)
    assert (loaded.kept.dtype, loaded.dropped.dtype) == (torch.float64, torch.int64)
    counted = log(nn.BatchNorm1d(2), epoch=2).load_state_dict(dtype=torch.float16)
    assert counted["running_mean"].dtype == torch.float16
    assert counted["num_batches_tracked"].dtype == torch.int64


def test_a_model_in_another_dtype_is_what_torchs_own_to_makes_of_it() -> None:
    model = Tied()
    loaded = tracker.load_model(log(model, epoch=1), dtype=torch.bfloat16)
    assert loaded.head.weight is loaded.embedding.weight
    assert same(state_of(loaded), state_of(model.to(torch.bfloat16)))
    assert loaded.shared.weight.requires_grad


def test_tied_tensors_stay_one_in_another_dtype() -> None:
    state = log(Tied(), epoch=1).load_state_dict(dtype=torch.float16)
    assert state["head.weight"] is state["embedding.weight"]


@pytest.mark.parametrize("dtype", [torch.int64, "float16", 16, torch.complex64])
def test_a_dtype_is_one_of_floating_point(dtype: Any) -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    for load in (checkpoint.load_model, checkpoint.load_state_dict):
        with pytest.raises(InvalidArgumentError, match="expected a floating-point dtype"):
            load(dtype=dtype)


def test_what_can_not_be_used_is_said_before_a_file_is_asked_for() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    (Path(checkpoint.record.artifact_uri) / "checkpoint.json").unlink()
    for argument in ({"device": "gpu"}, {"dtype": "half"}):
        with pytest.raises(InvalidArgumentError):
            checkpoint.load_model(**argument)
        with pytest.raises(InvalidArgumentError):
            checkpoint.load_state_dict(**argument)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_cuda_the_error_says_so_and_what_there_is() -> None:
    with pytest.raises(InvalidArgumentError, match=r"can't be used here: .*Devices .*: cpu"):
        log(Net(hidden=4), epoch=1).load_model(device="cuda")
