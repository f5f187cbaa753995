"""Models that are spread over processes are described as the plain models that they are."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch.distributed as distributed
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.models import Net
from tracker.architecture.describe import Description, describe
from tracker.architecture.distribution import is_function_of_distribution, plain_class


@pytest.fixture(autouse=True)
def two_processes() -> Iterator[None]:
    distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    distributed.destroy_process_group()


class Block(nn.Module):
    """Named parts, a tied weight, a buffer outside of the state_dict."""

    def __init__(self, width: int, *, scale: float = 2.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.tied = nn.Linear(2 * width, width)
        self.tied.weight = self.down.weight
        self.register_buffer("scale", nn.Parameter(self.norm.weight.detach() * scale).data)

    def generate(self, x: object) -> object:
        return x


def same(one: Description, other: Description) -> bool:
    return one.architecture == other.architecture and {
        key: tuple(tensor.shape) for key, tensor in one.state.items()
    } == {key: tuple(tensor.shape) for key, tensor in other.state.items()}


def test_fully_shard() -> None:
    plain = describe(Block(6))
    model = Block(6)
    fully_shard(model.up)
    fully_shard(model)
    register_fsdp_forward_method(model, "generate")
    assert plain_class(model) is Block
    assert same(describe(model), plain)
    assert plain.architecture.rebuild == "constructor"


def test_parallelize_module() -> None:
    plain = describe(Block(6))
    model = Block(6)
    plan = {
        "norm": SequenceParallel(),
        "up": ColwiseParallel(),
        "down": RowwiseParallel(),
        "tied": PrepareModuleInput(input_layouts=None, desired_input_layouts=None),
    }
    del plan["tied"]
    parallelize_module(model, init_device_mesh("cpu", (2,)), plan, src_data_rank=None)
    described = describe(model)
    # Its own weight was replaced in one of the two places, so it is tied no more.
    assert described.architecture.rebuild == "structure"
    untied = Block(6)
    untied.down.weight = nn.Parameter(untied.down.weight.detach().clone())
    assert same(described, describe(untied))
    assert plain.architecture.model_text == described.architecture.model_text


def test_a_part_that_was_exchanged_is_described_as_it_stands() -> None:
    def changed() -> nn.Module:
        model = Net(hidden=6)
        model.head = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
        return model

    plain, model = describe(changed()), changed()
    fully_shard(model)
    assert plain.architecture.rebuild == "structure"
    assert same(describe(model), plain)


def test_parts_whose_activations_are_computed_again() -> None:
    plain, model = describe(Block(6)), Block(6)
    model.up = checkpoint_wrapper(model.up)
    fully_shard(model.up)
    fully_shard(model)
    assert same(describe(model), plain)


def test_functions_count_by_where_their_code_is() -> None:
    model = Block(6)
    fully_shard(model)
    (hook,) = model._forward_pre_hooks.values()
    assert is_function_of_distribution(hook)
    assert is_function_of_distribution(functools.partial(hook))

    @functools.wraps(fully_shard)
    def own(x: object) -> object:
        return x

    assert not is_function_of_distribution(own)
    assert not is_function_of_distribution(model.generate)


def test_a_spread_model_is_recalled_as_long_as_it_stays_as_it_is() -> None:
    model = Block(6)
    fully_shard(model)
    first = describe(model)
    assert describe(model).architecture is first.architecture
    model.norm.register_forward_hook(print)
    assert describe(model).architecture is not first.architecture
