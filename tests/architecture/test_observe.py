from __future__ import annotations

import copy
import functools
import gc
import pickle
import subprocess
import sys
import types
import weakref
from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracker  # noqa: F401 - installs the observer
from tests import models
from tracker.architecture.inspection import Kept
from tracker.architecture.keeping import MAX_KEPT_ARRAY, Held, KeptPartial, Lost
from tracker.architecture.observe import install, observed_call


def kept(value: Any) -> Any:
    model = models.Anything(value)
    call = observed_call(model)
    assert call is not None
    return call.args[0]


def test_the_exact_arguments_are_seen() -> None:
    call = observed_call(models.Net(7, depth=2))
    assert call is not None
    assert (call.cls, call.args, call.kwargs) == (models.Net, (7,), {"depth": 2})


def test_only_the_outermost_constructor_counts() -> None:
    class Sub(models.Net):
        def __init__(self, size: int) -> None:
            super().__init__(hidden=2 * size)

    call = observed_call(Sub(3))
    assert call is not None
    assert (call.cls, call.args) == (Sub, (3,))


def test_installing_twice_changes_nothing() -> None:
    before = nn.Module.__new__
    install(torch.nn.modules.module)
    assert nn.Module.__new__ is before


@pytest.mark.parametrize("order", ["import tracker, torch", "import torch, tracker"])
def test_construction_is_observed_whichever_is_imported_first(order: str) -> None:
    code = (
        f"{order}\nfrom tracker.architecture.observe import observed_call\n"
        "print(observed_call(torch.nn.Linear(3, 4)).args)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3, 4)"


def test_observing_can_be_switched_off() -> None:
    code = (
        "import os; os.environ['TRACKER_OBSERVE'] = '0'\nimport tracker, torch\n"
        "from tracker.architecture.observe import observed_call\n"
        "print(observed_call(torch.nn.Linear(3, 4)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_arguments_are_kept_as_at_the_call() -> None:
    sizes, config, array = [1, 2], models.Config(), np.zeros(3)
    model = models.Anything(sizes, config, array, {"a": sizes})
    sizes.append(3)
    config.width = 99
    config.parts.append(5)
    array[0] = 1
    call = observed_call(model)
    assert call is not None
    assert call.args[0] == [1, 2]
    assert call.args[1].attributes["width"] == 3
    assert call.args[1].attributes["parts"] == [1, 2]
    assert call.args[2].tolist() == [0, 0, 0]
    assert call.args[3] == {"a": [1, 2]}


def test_arguments_that_the_constructor_itself_changes_are_kept_as_given() -> None:
    call = observed_call(models.LateInit([1, 2]))
    assert call is not None
    assert call.args == ([1, 2],)


def test_nothing_is_kept_alive() -> None:
    model, argument = models.Wrapper(nn.Linear(2, 2)), torch.ones(3)
    holder = models.Anything(model, [argument], models.Doubler().__call__)
    alive = [weakref.ref(thing) for thing in (model, argument)]
    del model, argument
    gc.collect()
    assert [ref() for ref in alive] == [None, None]
    assert observed_call(holder) is not None


def test_a_dropped_model_is_forgotten() -> None:
    from tracker.architecture import observe

    model = models.Net()
    model.itself = model
    key = id(model)
    del model
    gc.collect()
    assert key not in observe._made


def test_a_method_of_the_model_itself_keeps_no_cycle_alive() -> None:
    class Owner:
        def __init__(self) -> None:
            self.model = models.Anything(self.callback)

        def callback(self) -> None: ...

    owner = Owner()
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    "make", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_unpickled_models_are_not_observed(make: Any) -> None:
    assert observed_call(make(models.OwnNew(5).linear)) is None
    assert observed_call(make(nn.LSTM(2, 2))) is None
    assert observed_call(make(models.Net(5))) is None


def test_a_copy_made_by_hand_is_not_observed() -> None:
    assert observed_call(copy.deepcopy(models.OwnCopy(7))) is None


def test_own_new_is_observed_only_if_it_hands_the_arguments_on() -> None:
    assert observed_call(models.OwnNew(5)) is None
    call = observed_call(models.PassingNew(5))
    assert call is not None
    assert call.args == (5,)


def test_dataclass_modules_are_observed() -> None:
    call = observed_call(models.DataModule(hidden=6))
    assert call is not None
    assert call.kwargs == {"hidden": 6}


def test_a_class_with_another_base_that_has_new_gets_its_arguments() -> None:
    class Counted:
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__new__(cls)
            made.given = args
            return made

    class Both(nn.Module, Counted):
        def __init__(self, n: int) -> None:
            super().__init__()

    assert Both(3).given == (3,)


def test_a_constructor_that_fails_fails_as_before() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        nn.Linear(1, 2, nonsense=3)
    with pytest.raises(TypeError):
        nn.Module(1)


def test_an_odd_argument_does_not_break_the_constructor() -> None:
    class Odd:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise OSError("not today")

    assert observed_call(models.Anything(Odd())) is None


def test_generators_are_not_consumed() -> None:
    model = models.Factory(lambda size: nn.Linear(size, 1), (n for n in (1, 2)))
    assert len(model.layers) == 2
    call = observed_call(model)
    assert call is not None
    assert call.args[1] == Lost(types.GeneratorType)


def test_modules_tensors_and_functions_are_held_weakly() -> None:
    for value in (nn.ReLU(), torch.ones(1), models.double):
        held = kept(value)
        assert isinstance(held, Held)
        assert held.get() is value


def test_a_tensor_changed_in_place_is_noticed() -> None:
    value = torch.ones(2)
    held = kept(value)
    value.add_(1)
    with pytest.raises(LookupError, match="changed in place"):
        held.get()


def test_inference_tensors_have_no_version_and_are_held_all_the_same() -> None:
    with torch.inference_mode():
        value = torch.ones(2)
    assert kept(value).get() is value


def test_large_arrays_are_held_weakly() -> None:
    value = np.zeros(MAX_KEPT_ARRAY + 1, dtype=np.int8)
    assert kept(value).get() is value


def test_partials_are_kept_with_their_parts() -> None:
    found = kept(functools.partial(models.double, [1], key={"a": 2}))
    assert isinstance(found, KeptPartial)
    assert found.func.get() is models.double
    assert (found.args, found.keywords) == (([1],), {"key": {"a": 2}})


@pytest.mark.parametrize(
    "value",
    [
        Counter("aab"),
        deque([1, 2], maxlen=3),
        types.SimpleNamespace(a=1),
        models.namespace,
        slice(1, 2),
        bytearray(b"x"),
        {1, 2},
        models.Mode.FAST,
    ],
)
def test_plain_containers_are_kept_as_what_they_are(value: Any) -> None:
    found = kept(value)
    assert found == value
    assert type(found) is type(value)


def test_objects_with_slots_are_kept_whole() -> None:
    found = kept(models.Slotted(7))
    assert isinstance(found, Kept)
    assert found.attributes == {"_Slotted__secret": 7, "shown": 1}


def test_an_object_that_leads_back_to_itself_is_kept_once() -> None:
    config = models.Config()
    config.itself = [config]  # type: ignore[attr-defined]
    found = kept(config)
    assert found.attributes["itself"][0] is found


def test_the_same_object_twice_is_kept_as_one() -> None:
    config = models.Config()
    first, second = kept([config, config])
    assert first is second


def test_a_huge_web_of_objects_is_given_up_not_followed_forever() -> None:
    web = [models.Config() for _ in range(30)]
    for config in web:
        config.all = [[other, other] for other in web]  # type: ignore[attr-defined]
    assert isinstance(kept(web), list)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep, deep]
    assert isinstance(kept(deep), list)


@pytest.mark.parametrize("value", [sys, torch.Generator(), (n for n in ())])
def test_what_can_not_be_kept_is_lost_by_type(value: Any) -> None:
    assert kept(value) == Lost(type(value))
