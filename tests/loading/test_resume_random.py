"""Random numbers go on where they were."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.loading.resuming import Perceptron, seed, training
from tracker.errors import FormatError, InvalidArgumentError, MismatchError, TrackerWarning
from tracker.loading.resume import resume_training
from tracker.rehearsal.stored import store
from tracker.training import random_state


def drawn() -> tuple[float, float, float, float]:
    """Numbers of every global generator; two of Python's, as it keeps one of a pair."""
    return random.gauss(0, 1), random.random(), float(np.random.normal()), torch.rand(()).item()


def logged(folder: Path) -> tuple[Any, tuple[float, ...]]:
    """A checkpoint, and the numbers that were drawn next."""
    seed(0)
    drawn()
    made = training(lambda model: torch.optim.SGD(model.parameters(), lr=0.1))
    stored = store(folder / "checkpoint", **made.parts())
    return stored, drawn()


def live() -> dict[str, Any]:
    model = Perceptron()
    return {"model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}


def test_they_are_restored_with_an_optimizer(tmp_path: Path) -> None:
    stored, expected = logged(tmp_path)
    seed(1)
    resume_training(stored, **live())
    assert drawn() == expected


def test_they_are_left_alone_if_one_wants_that(tmp_path: Path) -> None:
    stored, _ = logged(tmp_path)
    given = live()
    seed(1)
    expected = drawn()
    seed(1)
    resume_training(stored, **given, random_state=False)
    assert drawn() == expected


def test_they_are_left_alone_where_only_weights_are_loaded(tmp_path: Path) -> None:
    stored, numbers = logged(tmp_path)
    model = live()["model"]
    seed(1)
    expected = drawn()
    seed(1)
    resume_training(stored, model=model)
    assert drawn() == expected
    resume_training(stored, model=model, random_state=True)
    assert drawn() == numbers


def test_that_there_are_none_is_told_to_who_wants_them(tmp_path: Path) -> None:
    model = Perceptron()
    stored = store(tmp_path / "checkpoint", model)
    resume_training(stored, model=model)
    with pytest.raises(MismatchError, match="holds no random state: it was logged without an opt"):
        resume_training(stored, model=model, random_state=True)


def test_another_number_of_devices_is_told_and_the_rest_is_restored(tmp_path: Path) -> None:
    state = random_state.capture()
    expected = drawn()
    state["cuda"] = [torch.zeros(16, dtype=torch.uint8)] * (torch.cuda.device_count() + 2)
    (text,) = random_state.check(state)
    count = torch.cuda.device_count()
    assert (
        f"has the random states of {count + 2} CUDA devices, and this machine has {count}" in text
    )
    random_state.restore(state)
    assert drawn() == expected


def test_where_numpy_is_not_installed_that_is_told_and_the_rest_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = random_state.capture()
    expected = random.random(), torch.rand(()).item()
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert random_state.check(state) == ["NumPy is not installed here: its numbers do not go on."]
    random_state.restore(state)
    assert (random.random(), torch.rand(()).item()) == expected
    assert "numpy" not in random_state.capture()


def test_numpys_other_bit_generators_are_restored() -> None:
    before = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(3))
        state = random_state.capture()
        expected = drawn()
        np.random.set_bit_generator(np.random.MT19937(4))
        assert random_state.check(state) == []
        random_state.restore(state)
        assert drawn() == expected
    finally:
        np.random.set_bit_generator(before)


@pytest.mark.parametrize("part", ["python", "numpy", "torch"])
def test_a_state_that_is_none_is_refused_before_anything_is_changed(part: str) -> None:
    state = {**random_state.capture(), part: {"words": 5, "bit_generator": "seed"}}
    seed(1)
    expected = drawn()
    seed(1)
    with pytest.raises(FormatError, match=r"training\.random: can't be read"):
        random_state.check(state)
    assert drawn() == expected


def test_another_rank_goes_on_with_its_own_numbers_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, _ = logged(tmp_path)
    monkeypatch.setattr("tracker.loading.resume.rank", lambda: 1)
    monkeypatch.setattr("tracker.loading.resume.world_size", lambda: 2)
    given = live()
    seed(1)
    expected = drawn()
    seed(1)
    with pytest.warns(TrackerWarning, match=r"of 1 process, and this is rank 1 of 2: .* not res"):
        resume_training(stored, **given)
    assert drawn() == expected


def test_a_generator_of_another_class_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    stored = store(tmp_path / "checkpoint", model, state={"own": torch.Generator()})
    with pytest.raises(MismatchError, match=r"state\.own is a random:Random, but .*:Generator"):
        resume_training(stored, model=model, state={"own": random.Random()})


def test_a_generator_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"SystemRandom has no state"):
        store(tmp_path / "checkpoint", nn.Linear(1, 1), state={"own": random.SystemRandom()})
