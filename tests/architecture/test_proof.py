"""The way to rebuild a model is proven when it is logged; a wrong model is never claimed."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models import Net, Tied
from tests.training import same, state_of
from tracker.architecture import proof
from tracker.architecture.describe import Description, describe
from tracker.architecture.imports import Imports
from tracker.architecture.instantiate import instantiate
from tracker.architecture.observe import observe_factory
from tracker.architecture.trust import Trust, parse_trust
from tracker.errors import UnstorableError, UntrustedCheckpointError


@pytest.fixture(autouse=True)
def _nothing_proven_yet() -> Iterator[None]:
    proof._verdicts.clear()
    yield
    proof._verdicts.clear()


def rebuilt(
    description: Description, imports: Imports | None = None, trust: Trust | None = None
) -> nn.Module:
    tensors = {"model": description.state, "architecture": description.extra}
    return instantiate(
        description.architecture,
        description.state_values,
        imports or Imports(trust=trust or Trust()),
        lambda group, name: tensors[group][name].detach().clone(),
    )


def assert_rebuilds(model: nn.Module, way: str, *inputs: Tensor) -> nn.Module:
    description = describe(model)
    assert description.architecture.rebuild == way, description.architecture.problems
    again = rebuilt(description)
    assert same(state_of(again), state_of(model))
    if inputs:
        with torch.no_grad():
            assert torch.equal(again.eval()(*inputs), model.eval()(*inputs))
    return again


class Counting(nn.Module):
    """Counts how often it was constructed."""

    constructed = 0

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        type(self).constructed += 1
        self.layer = nn.Linear(hidden, 1)


class Printing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        print("constructing")
        self.layer = nn.Linear(2, 1)


class NeedsValues(nn.Module):
    """Reads a tensor's value while it is constructed, which the meta device has none of."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.size = int(torch.arange(limit).max().item()) + 1
        self.layer = nn.Linear(self.size, 1)


class TakesTensor(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.layer = nn.Linear(int(mask.sum().item()), 1)


class Random(nn.Module):
    """Draws from every generator, and decides by it what it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = [random.random(), float(np.random.rand())]
        self.layer = nn.Linear(2, random.randint(1, 10_000))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class HiddenInClosure(nn.Module):
    """Keeps a random tensor where no description reaches."""

    def __init__(self) -> None:
        super().__init__()
        noise = torch.randn(2)
        self.layer = nn.Linear(2, 2)
        self.add_noise = lambda x: x + noise

    def forward(self, x: Tensor) -> Tensor:
        return self.add_noise(self.layer(x))


class WithLambda(nn.Module):
    def __init__(self, hidden: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(hidden, 2)
        self.act = lambda x: x.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.layer(x))


class OnlyOnce(nn.Module):
    allowed = True

    def __init__(self) -> None:
        if not OnlyOnce.allowed:
            raise RuntimeError("the dataset is not here")
        super().__init__()
        self.layer = nn.Linear(2, 1)


class Exiting(nn.Module):
    """Parses a command line that another program does not have."""

    allowed = True

    def __init__(self) -> None:
        if not Exiting.allowed:
            raise SystemExit(2)
        super().__init__()
        self.layer = nn.Linear(2, 1)


class Learning(nn.Module):
    """Changes an attribute of its own in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen = 0


class Closing(nn.Module):
    """Keeps a closure over itself, as modules with hooks of their own do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.run = lambda x: self.inner(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Downloading(nn.Module):
    """Asks the network for something that it needs only the first time."""

    reachable = False

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        if type(self).reachable:
            socket.getaddrinfo("weights.invalid", 443)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Writing(nn.Module):
    """Writes a file, and holds what no description can."""

    def __init__(self, path: str) -> None:
        super().__init__()
        Path(path).write_text("made")
        self.layer = nn.Linear(2, 2)
        self.act = lambda x: x.relu()


def make_with_lambda(width: int, slope: float = 0.1) -> nn.Module:
    model = nn.Sequential(nn.Linear(width, 2))
    model.act = lambda x: torch.where(x > 0, x, x * slope)
    return model


def make_net(width: int) -> nn.Module:
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU())
    model.append(nn.Linear(width, 2))
    return model


def test_a_model_as_its_constructor_makes_it_is_rebuilt_by_the_constructor() -> None:
    model = Net(hidden=4, depth=2)
    assert_rebuilds(model, "constructor", torch.randn(3, 4))
    architecture = describe(model).architecture
    assert architecture.model_class == "tests.models:Net"
    assert architecture.model_text == "Net(hidden=4, depth=2)"
    assert architecture.params == {"hidden": "4", "depth": "2", "act": "relu", "bias": "True"}
    assert architecture.problems == ()


def test_a_lambda_that_the_constructor_makes_comes_back_with_it() -> None:
    assert_rebuilds(WithLambda(hidden=3), "constructor", torch.randn(2, 3))


@pytest.mark.filterwarnings("ignore")
def test_a_dynamically_quantised_model_is_rebuilt() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    again = rebuilt(describe(quantised))
    x = torch.randn(5, 4)
    assert torch.equal(again(x), quantised(x))


@pytest.mark.filterwarnings("ignore")
def test_a_statically_quantised_model_is_rebuilt() -> None:
    stub, back = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
    model = nn.Sequential(stub, nn.Conv2d(1, 2, 3), nn.ReLU(), back).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    prepared = torch.ao.quantization.prepare(model)
    x = torch.randn(2, 1, 6, 6)
    prepared(x)
    quantised = torch.ao.quantization.convert(prepared)
    assert torch.equal(rebuilt(describe(quantised))(x), quantised(x))


def test_a_tree_with_arrays_is_rebuilt() -> None:
    model = make_net(3)
    model.table = np.arange(6.0).reshape(2, 3)
    again: Any = assert_rebuilds(model, "structure")
    assert np.array_equal(again.table, model.table)


def test_what_a_factory_put_together_is_rebuilt_from_its_structure() -> None:
    assert_rebuilds(make_net(3), "structure", torch.randn(2, 3))


def test_a_head_that_was_replaced_is_rebuilt_from_the_structure() -> None:
    model = Net(hidden=4)
    model.head = nn.Linear(4, 7)
    assert_rebuilds(model, "structure", torch.randn(2, 4))


def test_an_attribute_that_training_changed_is_put_back_into_what_was_constructed() -> None:
    model = Learning()
    assert describe(model).architecture.rebuild == "constructor"
    model.seen, model.later = 5, ["new"]
    again = assert_rebuilds(model, "constructor")
    assert (again.seen, again.later) == (5, ["new"])
    del model.seen
    assert not hasattr(assert_rebuilds(model, "constructor"), "seen")


def test_a_model_with_a_lambda_and_a_counter_is_rebuilt() -> None:
    model = WithLambda()
    model.seen = 7
    again = assert_rebuilds(model, "constructor", torch.randn(1, 2))
    assert again.seen == 7


def test_without_a_proof_nothing_is_claimed_and_every_obstacle_is_named() -> None:
    model = WithLambda()
    model.after = lambda x: x.tanh()
    architecture = describe(model).architecture
    assert architecture.rebuild == "none"
    assert architecture.constructor is None
    messages = " ".join(problem.message for problem in architecture.problems)
    assert "after: is a function that can't be found by name: it is a lambda" in messages
    assert "rebuilding gave another model: it differs in attributes" in messages


def test_a_lambda_of_the_constructor_survives_a_replaced_head() -> None:
    model = WithLambda()
    model.layer = nn.Linear(2, 3)
    assert_rebuilds(model, "structure", torch.randn(3, 2))


def test_a_block_with_a_lambda_is_constructed_inside_of_a_tree_that_is_built() -> None:
    model = nn.Sequential(WithLambda(hidden=3), nn.Linear(2, 2))
    model.append(nn.Tanh())
    again = assert_rebuilds(model, "structure", torch.randn(3, 3))
    assert again[0].act(torch.tensor(-1.0)) == 0


def test_a_closure_over_the_module_itself_refers_to_the_rebuilt_one() -> None:
    model = nn.Sequential(Closing(), nn.Linear(2, 2))
    model.append(nn.Tanh())
    again = assert_rebuilds(model, "structure", torch.randn(3, 2))
    again[0].inner.weight.data.zero_()
    assert torch.equal(again[0](torch.ones(1, 2)), again[0].inner.bias.detach()[None])


def test_a_constructor_that_wants_the_network_gives_way_to_the_structure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Downloading()
    monkeypatch.setattr(Downloading, "reachable", True)
    description = describe(model)
    assert description.architecture.rebuild == "structure"
    assert any("look up the host" in p.message for p in description.architecture.problems)
    assert_rebuilds(model, "structure", torch.randn(1, 2))


def test_a_constructor_that_can_not_be_quiet_runs_if_its_package_is_named(tmp_path: Any) -> None:
    model = Writing(str(tmp_path / "log"))
    description = describe(model)
    assert description.architecture.rebuild == "constructor"
    with pytest.raises(UntrustedCheckpointError, match="trust='tests'"):
        rebuilt(description)
    again = rebuilt(description, trust=parse_trust("tests"))
    assert same(state_of(again), state_of(model))


def test_a_model_of_a_factory_comes_back_by_calling_it() -> None:
    model = observe_factory(make_with_lambda, (3,), {"slope": 0.5})
    description = describe(model)
    assert description.architecture.rebuild == "constructor"
    assert description.architecture.model_text == "make_with_lambda(width=3, slope=0.5)"
    assert "tests.architecture.test_proof" in description.modules
    with pytest.raises(UntrustedCheckpointError, match="runs only if you say so"):
        rebuilt(description)
    again = rebuilt(description, trust=parse_trust("tests"))
    x = -torch.ones(1, 3)
    assert torch.equal(again.act(again[0](x)), model.act(model[0](x)))


def test_the_proof_leaves_the_model_as_it_is() -> None:
    model = Net(hidden=4).train()
    before, parameters = state_of(model), list(model.parameters())
    describe(model)
    assert same(state_of(model), before)
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in parameters)


@pytest.mark.parametrize("make", [Net, Random, make_net, NeedsValues, HiddenInClosure])
def test_no_random_generator_is_moved(make: Any) -> None:
    model = make(4) if make in (make_net, NeedsValues) else make()
    before = [random.getstate(), np.random.get_state(), torch.get_rng_state()]
    description = describe(model)
    if description.architecture.rebuild != "none":
        rebuilt(description)
    assert same([random.getstate(), np.random.get_state(), torch.get_rng_state()], before)


def test_a_second_description_constructs_nothing() -> None:
    model = Counting()
    describe(model)
    after_the_first = Counting.constructed
    for _ in range(3):
        with torch.no_grad():
            model.layer.weight.add_(1.0)
        assert describe(model).architecture.rebuild == "constructor"
    assert Counting.constructed == after_the_first
    describe(Counting(hidden=5))
    assert Counting.constructed > after_the_first + 1


def test_verdicts_are_kept_for_a_limited_number_of_architectures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof, "_MAX_VERDICTS", 2)
    for width in range(1, 6):
        describe(nn.Linear(width, 1))
    assert len(proof._verdicts) <= 2


def test_a_constructor_that_prints_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    model = Printing()
    capfd.readouterr()
    assert_rebuilds(model, "constructor")
    assert capfd.readouterr().out == ""


def test_a_constructor_that_reads_values_is_run_on_the_cpu() -> None:
    model = NeedsValues(4)
    assert_rebuilds(model, "constructor")
    constructor = describe(model).architecture.constructor
    assert isinstance(constructor, dict)
    assert constructor["device"] == "cpu"


def test_a_constructor_that_reads_its_tensor_argument_gets_the_real_one() -> None:
    assert_rebuilds(TakesTensor(torch.tensor([1, 1, 0, 1])), "constructor")


@pytest.mark.parametrize("cls", [OnlyOnce, Exiting])
def test_a_constructor_that_raises_is_not_the_way(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cls()
    monkeypatch.setattr(cls, "allowed", False)
    architecture = describe(model).architecture
    assert architecture.rebuild == "structure"
    assert any("Constructing" in problem.message for problem in architecture.problems)


@pytest.mark.parametrize("cls", [OnlyOnce, Exiting])
def test_a_constructor_that_raises_only_later_gives_way_to_the_tree_as_it_stood(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cls()
    description = describe(model)
    assert description.architecture.rebuild == "constructor"
    monkeypatch.setattr(cls, "allowed", False)
    imports = Imports()
    again = rebuilt(description, imports)
    assert same(state_of(again), state_of(model))
    assert f"Constructing {cls.__name__}" in imports.tried[0]


def test_a_model_made_by_chance_is_rebuilt_as_it_came_out() -> None:
    model = Random()
    again = assert_rebuilds(model, "structure", torch.randn(3, 2))
    assert again.drawn == model.drawn


def test_a_tensor_hidden_in_a_closure_is_never_replaced_by_another() -> None:
    architecture = describe(HiddenInClosure()).architecture
    assert architecture.rebuild == "none"
    assert any("tensor" in problem.message for problem in architecture.problems)


def test_tied_weights_stay_tied_and_untied_ones_untied() -> None:
    again = assert_rebuilds(Tied(), "constructor", torch.tensor([1, 2]))
    assert again.head.weight is again.embedding.weight
    untied = Tied()
    untied.head.weight = nn.Parameter(untied.head.weight.detach().clone())
    again = assert_rebuilds(untied, "structure", torch.tensor([1, 2]))
    assert again.head.weight is not again.embedding.weight


def test_a_class_redefined_meanwhile_is_not_taken_for_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Counting()
    assert describe(model).architecture.rebuild == "constructor"
    monkeypatch.setitem(
        globals(), "Counting", type("Counting", (Counting,), {"__module__": __name__})
    )
    assert describe(model).architecture.rebuild == "none"


def test_the_description_holds_the_live_tensors_not_copies() -> None:
    model = Net(hidden=4)
    state = describe(model).state
    assert all(
        state[key].data_ptr() == value.data_ptr() for key, value in model.state_dict().items()
    )


def test_modules_are_those_that_the_classes_come_from() -> None:
    assert {"tests.models", "torch.nn.modules.linear"} <= describe(Net(hidden=4)).modules


def test_a_tensor_that_can_not_be_stored_is_named() -> None:
    model = Net(hidden=4)
    model.register_buffer("adjacency", torch.nested.nested_tensor([torch.ones(1)]))
    with pytest.raises(UnstorableError, match="adjacency"):
        describe(model)
