"""From the files of a checkpoint to a model."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tracker
from tests.models import Buffers, ExtraState, Net, Tied
from tests.system.processes import PYTHON, succeed
from tests.training import log, same, state_of
from tracker.errors import InvalidArgumentError, NeedsModelInstanceError, TrackerWarning

pytestmark = pytest.mark.usefixtures("workplace")


def python(directory: Path, program: str) -> str:
    code = textwrap.dedent(program)
    return succeed(PYTHON, "-c", code, directory=directory, variables=dict(os.environ))


def test_a_model_comes_back_in_eval_mode_with_its_weights() -> None:
    model = Net(hidden=4, depth=2).train()
    loaded = log(model, epoch=1).load_model()
    assert type(loaded) is Net
    assert not any(module.training for module in loaded.modules())
    assert same(state_of(loaded), state_of(model))
    x = torch.randn(3, 4)
    assert torch.equal(loaded(x), model.eval()(x))


def test_parameters_require_gradients_as_they_did() -> None:
    model = Net(hidden=4)
    model.head.requires_grad_(False)
    loaded = log(model, epoch=1).load_model()
    assert {k: p.requires_grad for k, p in loaded.named_parameters()} == {
        k: p.requires_grad for k, p in model.named_parameters()
    }


def test_a_loaded_model_can_be_trained_and_the_files_stay_as_they_are() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    loaded = checkpoint.load_model()
    before = state_of(loaded)
    optimizer = torch.optim.SGD(loaded.parameters(), lr=1.0)
    loaded(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    assert not same(state_of(loaded), before)
    assert same(state_of(checkpoint.load_model()), before)


def test_tied_weights_are_tied_and_buffers_are_back() -> None:
    tied = log(Tied(), epoch=1).load_model()
    assert tied.head.weight is tied.embedding.weight
    assert tied.again is tied.shared
    model = Buffers()
    loaded = log(model, epoch=2).load_model()
    assert all(torch.equal(b, loaded.get_buffer(n)) for n, b in model.named_buffers())
    assert torch.equal(loaded.plain, model.plain)


def test_tied_tensors_are_one_tensor_in_the_state_dict() -> None:
    state = log(Tied(), epoch=1).load_state_dict()
    assert state["head.weight"] is state["embedding.weight"]


def test_extra_state_comes_back() -> None:
    model = ExtraState()
    model.seen = 7
    assert log(model, epoch=1).load_model().seen == 7


@pytest.mark.parametrize("device", ["meta", torch.device("meta"), "cpu", "cpu:0"])
def test_tensors_go_to_the_device_and_tied_ones_stay_tied(device: Any) -> None:
    checkpoint = log(Tied(), epoch=1)
    loaded = checkpoint.load_model(device=device)
    kind = torch.device(device).type
    assert {p.device.type for p in loaded.parameters()} == {kind}
    assert loaded.head.weight is loaded.embedding.weight
    state = checkpoint.load_state_dict(device=device)
    assert {t.device.type for t in state.values()} == {kind}
    assert state["head.weight"] is state["embedding.weight"]


@pytest.mark.parametrize("device", ["gpu", "cuda:99", None, 1.5])
def test_a_device_that_is_not_there_is_refused(device: Any) -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    for load in (checkpoint.load_model, checkpoint.load_state_dict):
        with pytest.raises(InvalidArgumentError, match=r"device=.*can't be used here"):
            load(device=device)


@pytest.mark.parametrize("classes", [[Net], {"Net": "Net"}, {1: Net}, {"Net": Net(4)}])
def test_classes_must_be_classes_by_name(classes: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="classes must be a dict of classes by name"):
        log(Net(hidden=4), epoch=1).load_model(classes=classes)


@pytest.mark.parametrize("trust", [5, ["a-b"], "not a package", [5]])
def test_trust_must_be_names_of_packages(trust: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="trust="):
        log(Net(hidden=4), epoch=1).load_model(trust=trust)


def test_a_model_that_needs_an_instance_says_how_to_get_its_weights() -> None:
    model = Net(hidden=4)
    model.act = lambda x: x
    with pytest.warns(TrackerWarning):
        checkpoint = log(model, epoch=1)
    with pytest.raises(
        NeedsModelInstanceError, match=r"load_state_dict\(checkpoint\.load_state_dict"
    ):
        checkpoint.load_model()
    other = Net(hidden=4)
    other.load_state_dict(checkpoint.load_state_dict())
    assert same(state_of(other), state_of(model))


def test_loading_moves_no_random_generator() -> None:
    import random

    import numpy as np

    class_with_dropout = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    checkpoint = log(class_with_dropout, epoch=1)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    checkpoint.load_model()
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert same(list(states), list(after))


SCRIPT = """
    import pathlib
    import torch
    import tracker

    class Net(torch.nn.Module):
        def __init__(self, hidden=3):
            super().__init__()
            self.layer = torch.nn.Linear(hidden, 1)

        def forward(self, x):
            return self.layer(x)

    pathlib.Path("executed").touch()
    checkpoint = tracker.log_checkpoint(Net(hidden=5), epoch=1).result()
    print(checkpoint.id)
    """


def test_the_top_level_of_the_training_script_is_never_run_again(workplace: Path) -> None:
    scripts = workplace / "scripts"
    scripts.mkdir()
    (scripts / "train.py").write_text(textwrap.dedent(SCRIPT))
    succeed(PYTHON, scripts / "train.py", directory=workplace, variables=dict(os.environ))
    checkpoint = tracker.get_checkpoint(epoch=1)
    assert checkpoint.model_class == "train:Net"
    (workplace / "executed").unlink()
    load = """
        import sys, tracker
        sys.path.insert(0, "scripts")
        for arguments in ({}, {"trust": "source"}):
            model = tracker.get_checkpoint(epoch=1).load_model(**arguments)
            assert type(model).__name__ == "Net" and model.layer.in_features == 5
        assert "train" not in sys.modules
        print("loaded")
        """
    assert python(workplace, load).strip() == "loaded"
    assert not (workplace / "executed").exists()


def test_a_class_that_is_nowhere_is_given_by_name(workplace: Path) -> None:
    (workplace / "train.py").write_text(textwrap.dedent(SCRIPT))
    succeed(PYTHON, "train.py", directory=workplace, variables=dict(os.environ))
    (workplace / "train.py").unlink()
    load = """
        import torch, tracker
        from tracker.errors import ClassNotFoundError

        checkpoint = tracker.get_checkpoint(epoch=1)
        try:
            checkpoint.load_model()
        except ClassNotFoundError as error:
            assert "classes=" in str(error) and 'trust="source"' in str(error), error
        else:
            raise SystemExit("loaded without a class")

        class Net(torch.nn.Module):
            def __init__(self, hidden=3):
                super().__init__()
                self.layer = torch.nn.Linear(hidden, 1)

        assert type(checkpoint.load_model(classes={"Net": Net})) is Net
        print("loaded")
        """
    assert python(workplace, load).strip() == "loaded"
