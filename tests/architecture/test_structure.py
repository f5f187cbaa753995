from __future__ import annotations

import argparse
import functools
import math
import operator
import types
import weakref
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import models
from tests.architecture.roundtrip import pool_of, problems, rebuilt, stored
from tracker.architecture.compare import comparable
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import build
from tracker.architecture.structure import describe_tree
from tracker.architecture.trust import Trust
from tracker.errors import UnstorableError
from tracker.types import Json


def with_attribute(value: Any) -> nn.Module:
    model = nn.Identity()
    model.value = value
    return model


def test_rebuilt_model_computes_the_same() -> None:
    model, x = models.Net(hidden=5, depth=3), torch.randn(2, 5)
    assert torch.equal(rebuilt(model)(x), model(x))


def test_tied_weights_and_shared_submodules_stay_one() -> None:
    model = rebuilt(models.Tied())
    assert model.head.weight is model.embedding.weight
    assert model.again is model.shared
    assert model.embedding.padding_idx == 0


def test_buffers_keep_their_persistence_and_nones_stay() -> None:
    model = rebuilt(models.Buffers())
    assert "dropped" not in model.state_dict()
    assert "kept" in model.state_dict()
    assert model.nothing is None
    assert model.no_bias is None
    assert model.no_child is None
    assert list(model._buffers) == ["kept", "dropped", "nothing"]
    assert torch.equal(model.plain, torch.tensor([1.5, 2.5]))
    assert model.table.dtype == np.int16


def test_containers_keep_their_order() -> None:
    original = models.Containers()
    model, x = rebuilt(original).eval(), torch.randn(3, 2)
    assert list(model.blocks) == ["z", "a"]
    assert list(model.named) == list(original.named)
    assert torch.equal(model(x), original.eval()(x))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_keep_flat_weights_that_are_their_parameters(kind: Any) -> None:
    original, x = (
        kind(3, 4, num_layers=2, bidirectional=True, batch_first=True),
        torch.randn(2, 5, 3),
    )
    model = rebuilt(original)
    assert all(
        flat is getattr(model, name)
        for flat, name in zip(model._flat_weights, model._flat_weights_names, strict=True)
    )
    assert torch.equal(model(x)[0], original(x)[0])


def test_attention_and_transformers() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=F.gelu)
    original, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 3, 8)
    assert torch.equal(rebuilt(original)(x), original(x))
    attention = nn.MultiheadAttention(8, 2, kdim=4, vdim=4)
    rebuilt(attention)


def test_batch_norm_keeps_its_counter() -> None:
    original = nn.BatchNorm2d(3)
    original(torch.randn(2, 3, 4, 4))
    model = rebuilt(original)
    assert model.num_batches_tracked == 1
    assert model.num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize(
    "function",
    [
        F.relu,
        F.gelu,
        F.max_pool2d,
        F.silu,
        torch.tanh,
        torch.sigmoid,
        math.sqrt,
        operator.add,
        torch.special.expit,
        nn.init.xavier_uniform_,
        models.double,
        models.gelu,
        functools.partial(torch.softmax, dim=-1),
    ],
)
def test_functions_stay_the_same_object(function: Any) -> None:
    value = rebuilt(with_attribute(function), **own()).value
    if isinstance(function, functools.partial):
        assert value.func is function.func
        assert value.keywords == function.keywords
    else:
        assert value is function


def own() -> dict[str, Any]:
    """Trust the package that the values of these tests come from, as a model of it does."""
    from tracker.architecture.trust import Trust

    return {"trust": Trust().extended(["tests.models"])}


@pytest.mark.parametrize(
    "value",
    [
        models.Config(5, models.Mode.SLOW, [3]),
        models.Frozen(5),
        models.Mode.SLOW,
        models.Flags.A | models.Flags.B,
        models.Point(1, (2, 3)),
        models.Size(1, 2),
        models.namespace,
        types.SimpleNamespace(a=models.Config()),
        Counter("aab"),
        OrderedDict([("z", 1), ("a", models.Mode.FAST)]),
        {"a": {"b": [models.Config(), {1: models.Point(1, 2)}]}},
        models.Config,
        (torch.float16, torch.device("cpu"), torch.channels_last),
        {"group": "model", "parameter": 3},
        {"children": [1], "training": True},
    ],
)
def test_configurations_come_back_equal(value: Any) -> None:
    class_of = type(value)
    back = rebuilt(with_attribute(value), **own()).value
    assert back == value
    assert type(back) is class_of


def test_private_slots_come_back() -> None:
    assert rebuilt(with_attribute(models.Slotted(7)), **own()).value.secret() == 7


def test_a_shared_configuration_stays_shared_and_cycles_stay_cycles() -> None:
    config = models.Config()
    config.itself = config  # type: ignore[attr-defined]
    model = nn.Sequential(with_attribute(config), with_attribute(config))
    back = rebuilt(model, **own())
    assert back[0].value is back[1].value
    assert back[0].value.itself is back[0].value


def test_modules_and_methods_among_attributes() -> None:
    original, x = models.OwnMethod(), torch.randn(3, 2)
    model = rebuilt(original)
    assert model.run.__self__ is model
    assert torch.equal(model(x), original(x))
    hidden = nn.Linear(1, 1)
    model = rebuilt(with_attribute([hidden, weakref.ref(hidden)]))
    assert model.value[1]() is model.value[0]


def test_hooks_that_are_functions_are_kept_with_their_flags() -> None:
    original, x = models.Hooked(), torch.randn(3, 2)
    model = rebuilt(original)
    assert torch.equal(model(x), original(x))
    handle = model.linear.register_forward_hook(models.double_output)
    assert len(model.linear._forward_hooks) == 2
    handle.remove()
    assert torch.equal(model(x), original(x))


def test_parts_keep_dtype_layout_and_frozenness() -> None:
    model = nn.Sequential(nn.Linear(2, 2).half(), nn.Linear(2, 2).bfloat16(), nn.Conv2d(3, 4, 2))
    model[1].requires_grad_(False)
    model.to(memory_format=torch.channels_last)
    model[0].eval()
    back = rebuilt(model)
    assert [p.dtype for p in back.parameters()] == [p.dtype for p in model.parameters()]
    assert [p.requires_grad for p in back.parameters()] == [True] * 2 + [False] * 2 + [True] * 2
    assert back[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert [m.training for m in back] == [False, True, True]


def test_old_weight_norm_is_rebuilt_with_its_hook() -> None:
    with pytest.warns(FutureWarning):
        original = nn.utils.weight_norm(nn.Linear(3, 2))
    x = torch.randn(1, 3)
    original(x)
    tree = describe_tree(original)
    if not tree.problems:
        model = rebuilt(original)
        with torch.no_grad():
            model.weight_g.mul_(2)
            original.weight_g.mul_(2)
        assert torch.equal(model(x), original(x))


def test_lambdas_closures_and_local_classes_are_named() -> None:
    class Local(nn.Module):
        pass

    model = nn.Sequential(with_attribute(lambda x: x), Local(), with_attribute(Local))
    found = problems(model)
    assert "it is a lambda" in found["0.value"]
    assert "defined inside the function" in found["1"]
    assert "defined inside the function" in found["2.value"]


def test_a_lambda_as_hook_is_named() -> None:
    model = nn.Linear(1, 1)
    model.register_forward_hook(lambda *_: None)
    assert "it is a lambda" in problems(model)["_forward_hooks"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(2, 2).to_mkldnn()], "layout torch._mkldnn"),
        (models.MyTensor(torch.ones(2)), "is a MyTensor"),
        (np.array([{}, "a"], dtype=object), "holds Python objects"),
        (torch.Generator(), "no plain attributes"),
        (type("Set", (set,), {})({1}), "no plain attributes"),
        (functools.lru_cache(models.double), "no plain attributes"),
        (models.Config.__init__.__get__(models.Config), "classmethod"),
    ],
)
def test_values_that_can_not_be_rebuilt_are_named(value: Any, message: str) -> None:
    found = problems(nn.Sequential(with_attribute({"x": value})))
    assert len(found) == 1
    path, text = next(iter(found.items()))
    assert path.startswith("0.value")
    assert message in text


def test_a_buffer_that_is_a_view_of_a_weight_is_one_again() -> None:
    model = nn.Linear(4, 4)
    model.register_buffer("second_row", model.weight.detach()[1], persistent=False)
    back = rebuilt(model)
    back.weight.data[1] = 7
    assert back.second_row.tolist() == [7, 7, 7, 7]


def test_attributes_that_alias_a_weight_do_so_again() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    model.alias, model.transposed = model[0].weight.data, model[0].weight.detach().t()
    back = rebuilt(model)
    back[0].weight.data.fill_(5)
    assert back.alias.tolist() == [[5] * 4] * 3
    assert back.transposed.shape == (4, 3)
    assert (back.transposed == 5).all()


def test_parameters_that_are_parts_of_one_flat_parameter_stay_so() -> None:
    model = nn.Module()
    model.part = nn.Parameter(torch.zeros(0))
    model.flat = nn.Parameter(torch.arange(6.0))
    model.part = nn.Parameter(model.flat.detach()[2:5])
    back = rebuilt(model)
    back.flat.data.fill_(9)
    assert isinstance(back.part, nn.Parameter)
    assert back.part.tolist() == [9, 9, 9]


def test_a_non_persistent_buffer_can_be_a_view_of_another() -> None:
    model = nn.Module()
    model.register_buffer("whole", torch.arange(6.0), persistent=False)
    model.register_buffer("part", model.whole[:2], persistent=False)
    back = rebuilt(model)
    back.whole.fill_(3)
    assert back.part.tolist() == [3, 3]


def test_tensors_that_overlap_without_one_holding_the_other_are_named() -> None:
    model, flat = nn.Module(), torch.arange(6.0)
    model.register_buffer("a", flat[:4])
    model.register_buffer("b", flat[2:])
    assert "shares its memory with" in problems(model)["b"]


def test_an_expanded_buffer_is_expanded_again() -> None:
    model = nn.Module()
    model.register_buffer("row", torch.randn(1, 4).expand(3, 4))
    model.register_buffer("both", torch.randn(2, 1, 3).transpose(0, 2).expand(3, 5, 2))
    back = rebuilt(model)
    assert back.row.stride() == model.row.stride() == (0, 1)
    assert back.both.stride() == model.both.stride()


def test_strides_of_a_transposed_weight_are_kept() -> None:
    model = nn.Linear(4, 3)
    model.weight = nn.Parameter(torch.randn(4, 3).t())
    assert rebuilt(model).weight.stride() == (1, 3)


def test_tensors_beside_each_other_in_one_storage_are_no_views() -> None:
    model, flat = nn.Module(), torch.arange(6.0)
    model.register_buffer("a", flat[:3])
    model.register_buffer("b", flat[3:])
    rebuilt(model)


def test_lazy_modules_say_that_they_have_no_values_yet() -> None:
    with pytest.raises(UnstorableError, match="run one forward pass"):
        describe_tree(nn.Sequential(nn.LazyLinear(3)))


def test_lazy_modules_are_ordinary_after_a_forward_pass() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.ones(1, 2))
    assert type(rebuilt(model)[0]) is nn.Linear


def test_meta_models_are_described_without_check_only() -> None:
    with torch.device("meta"):
        model = models.Net()
    assert stored(comparable(describe_tree(model, check=False).structure)) == stored(
        comparable(describe_tree(models.Net()).structure)
    )
    with pytest.raises(UnstorableError, match="meta device"):
        describe_tree(model)


def test_extra_state_is_described_apart_from_tensors() -> None:
    tree = describe_tree(nn.Sequential(models.ExtraState()))
    assert tree.state_values == {
        "0._extra_state": {"$dict": [["seen", 0], ["history", {"$tuple": [1, 2]}]]}
    }


def test_extra_state_that_can_not_be_stored_is_an_error_because_it_is_state() -> None:
    model = models.ExtraState()
    model.seen = lambda: 0  # type: ignore[assignment]
    with pytest.raises(UnstorableError, match=r"0\._extra_state\.seen.*state_dict.*lambda"):
        describe_tree(nn.Sequential(model))


def test_a_plain_attribute_that_is_a_view_is_a_copy() -> None:
    model = nn.Linear(2, 2)
    model.alias = model.weight.data
    assert torch.equal(rebuilt(model).alias, model.weight)


def slots(data: Json) -> Iterator[dict[str, Json]]:
    """Yield every tensor slot anywhere in a description."""
    pending: list[Json] = [data]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if {"group", "parameter"} <= node.keys():
                yield node
            else:
                pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def test_every_slot_names_a_tensor() -> None:
    tree = describe_tree(models.Buffers())
    for slot in slots(stored(tree.structure)):
        assert slot["name"] in (tree.state if slot["group"] == "model" else tree.extra)


def test_describing_changes_nothing() -> None:
    model = models.Hooked()
    before = dict(vars(model))
    describe_tree(model)
    assert vars(model) == before


def test_values_that_differ_are_told_apart_even_if_opaque() -> None:
    class Number(int):
        pass

    def described(value: Any) -> Any:
        return comparable(stored(describe_tree(with_attribute(value)).structure))

    assert described(Number(1)) == described(Number(1))
    assert described(Number(1)) != described(Number(2))
    assert described(lambda x: x + 1) != described(lambda x: x + 2)
    assert described(argparse.Namespace(a=1)) != described(argparse.Namespace(a=2))
    one, two = np.array(["a"], dtype=object), np.array(["b"], dtype=object)
    assert described(one) != described(two)


def test_a_chain_of_objects_without_end_is_named_not_followed() -> None:
    chain = None
    for _ in range(1000):
        chain = types.SimpleNamespace(next=chain, own=models.Doubler(chain))  # type: ignore[arg-type]
    assert "deep" in " ".join(problems(with_attribute(chain)).values())


def before_loading(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state.pop(prefix + "old", None)


def test_hooks_that_rename_keys_while_loading_come_back() -> None:
    model = nn.Linear(1, 1)
    model.register_load_state_dict_pre_hook(before_loading)
    back = rebuilt(model, trust=Trust(packages=frozenset({"tests"})))
    back.load_state_dict({**model.state_dict(), "old": torch.ones(1)})


def test_a_compiled_part_of_a_model_is_looked_through() -> None:
    model = nn.Sequential(torch.compile(nn.Linear(2, 2)), nn.ReLU())
    model.append(model[0])
    tree = describe_tree(model)
    assert list(tree.state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    back = build(stored(tree.structure), Imports(), pool_of(tree))
    assert type(back[0]) is nn.Linear
    assert back[2] is back[0]
    assert torch.equal(back[0].weight, model[0].weight)


def test_objects_get_the_same_numbers_in_whatever_order_their_attributes_were_set() -> None:
    config = types.SimpleNamespace()
    config.z, config.a = models.Config(1), models.Config(2)
    model = with_attribute(config)
    model.another, model.aaa = models.Config(3), models.Config(4)
    rebuilt(model, trust=Trust(packages=frozenset({"tests"})))
