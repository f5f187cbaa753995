from __future__ import annotations

import math
import operator
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import models
from tracker.architecture.references import (
    NotReferableError,
    file_of,
    main_module_name,
    public_module_name,
    reference,
    walk,
)


class Outer:
    class Inner(nn.Module):
        @staticmethod
        def helper() -> None: ...

        def method(self) -> None: ...


def other(name: str) -> str:
    return f"{__name__}:{name}"


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (nn.Linear, "torch.nn.modules.linear:Linear"),
        (models.Net, "tests.models:Net"),
        (Outer.Inner, other("Outer.Inner")),
        (Outer.Inner.method, other("Outer.Inner.method")),
        (Outer.Inner.helper, other("Outer.Inner.helper")),
        (F.relu, "torch.nn.functional:relu"),
        (F.gelu, "torch.nn.functional:gelu"),
        (F.max_pool2d, "torch.nn.functional:max_pool2d"),
        (torch.tanh, "torch:tanh"),
        (torch.linalg.norm, "torch.linalg:norm"),
        (torch.special.expit, "torch.special:expit"),
        (math.sqrt, "math:sqrt"),
        (operator.add, "operator:add"),
    ],
)
def test_a_reference_names_module_and_qualname(thing: object, expected: str) -> None:
    assert reference(thing) == expected
    module, _, qualname = expected.partition(":")
    assert walk(sys.modules[module], qualname) is thing


def test_lambdas_closures_and_shadowed_things_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def inner() -> None: ...

    with pytest.raises(NotReferableError, match="lambda"):
        reference(lambda: 0)
    with pytest.raises(NotReferableError, match="inside the function"):
        reference(inner)
    with pytest.raises(NotReferableError, match="no known module"):
        reference([].append)
    with pytest.raises(NotReferableError, match="no known module"):
        reference(torch.ones(1).relu)
    with pytest.raises(NotReferableError, match="has no name"):
        reference(3)
    original = models.Net
    monkeypatch.setattr(models, "Net", nn.Linear)
    with pytest.raises(NotReferableError, match="not this object"):
        reference(original)


@pytest.mark.parametrize(
    "qualname",
    ["functional.relu", "Module.__init__.__globals__", "Module.__subclasses__", "nothing", ""],
)
def test_walking_leads_through_class_bodies_only(qualname: str) -> None:
    with pytest.raises(AttributeError):
        walk(nn, qualname)


def test_walking_runs_no_code_of_the_module_or_class() -> None:
    module = types.ModuleType("lazy")
    module.__getattr__ = lambda name: pytest.fail("ran")  # type: ignore[method-assign]

    class Meta(type):
        @property
        def trap(cls) -> None:
            pytest.fail("ran")

    module.Class = Meta("Class", (), {})  # type: ignore[attr-defined]
    for qualname in ("missing", "Class.trap"):
        with pytest.raises(AttributeError):
            walk(module, qualname)


def test_the_main_module_is_known_by_the_name_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert main_module_name() == "__main__"
    main.__file__ = "<stdin>"
    assert main_module_name() == "__main__"
    main.__file__ = str(Path("somewhere") / "train.py")
    assert public_module_name("__main__") == "train"
    main.__spec__ = types.SimpleNamespace(name="pkg.train")  # type: ignore[assignment]
    assert public_module_name("__mp_main__") == "pkg.train"
    assert public_module_name("other") == "other"


def test_the_file_of_a_script_is_known_when_python_has_removed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = str(Path("somewhere") / "train.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert file_of(main) == main.__file__
    del main.__file__
    assert file_of(main) == str(Path("somewhere") / "train.py")
    assert main_module_name() == "train"
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert main_module_name() == "__main__"


def test_a_class_of_the_script_is_named_after_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = "train.py"
    exec("class Net: pass", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert reference(main.Net) == "train:Net"
