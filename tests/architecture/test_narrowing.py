"""``TRACKER_TRUSTED_PACKAGES`` narrows everything that a checkpoint can name."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import models
from tracker.architecture.imports import Imports
from tracker.architecture.isolated import SourceFile
from tracker.architecture.reader import Reader
from tracker.architecture.trust import parse_trust
from tracker.errors import ClassNotFoundError, UntrustedCheckpointError

Load = Callable[[Any], Any]

NAMED = {
    "a class": {"$class": "tests.models:Net"},
    "a function": {"$function": "tests.models:double"},
    "a partial": {"$partial": [{"$function": "tests.models:double"}, [], {}]},
    "an object": {"$object": 0},
    "an enum": {"$enum": ["tests.models:Mode", "fast"]},
    "a method": {"$method": [{"$object": 1}, "__call__"]},
}
OBJECTS: list[Any] = [
    {"class": "tests.models:Config", "attributes": {"width": 3}},
    {"class": "tests.models:Doubler", "attributes": {"factor": 2}},
]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Load]:
    """Return what reads a value as part of a model of `tests.models`, once the packages are set."""

    def narrowed(packages: str) -> Load:
        monkeypatch.setenv("TRACKER_TRUSTED_PACKAGES", packages)
        imports = Imports(trust=parse_trust("tests")).extended([models.Net])
        reader = Reader(
            OBJECTS, imports, lambda index, path: nn.Identity(), lambda slot, path: slot
        )
        return lambda data: reader.read(data, "x")

    return narrowed


@pytest.mark.parametrize("value", NAMED.values(), ids=list(NAMED))
@pytest.mark.parametrize("packages", ["tests", "other, tests", " tests ,"])
def test_packages_that_are_listed_may_be_named(load: Any, packages: str, value: Any) -> None:
    load(packages)(value)


@pytest.mark.parametrize("value", NAMED.values(), ids=list(NAMED))
@pytest.mark.parametrize("packages", ["other", "tests.models", "test", "", " , "])
def test_others_may_not_even_if_the_caller_trusts_them(
    load: Any, packages: str, value: Any
) -> None:
    with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES does not list"):
        load(packages)(value)


def test_an_empty_value_leaves_torch_and_computations(load: Any) -> None:
    read = load("")
    assert read({"$class": "torch.nn.modules.linear:Linear"}) is nn.Linear
    assert read({"$function": "torch:relu"}) is torch.relu
    assert read({"$function": "torch.nn.functional:gelu"}) is nn.functional.gelu
    assert read({"$function": "math:sqrt"}) is math.sqrt
    assert read({"$function": "operator:add"}) is operator.add


def narrowed(monkeypatch: pytest.MonkeyPatch, packages: str, **given: Any) -> Imports:
    monkeypatch.setenv("TRACKER_TRUSTED_PACKAGES", packages)
    return Imports(trust=parse_trust(["source", "tests"]), **given)


def test_classes_of_modules_are_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert narrowed(monkeypatch, "tests").module_class("tests.models:Net", "p") is models.Net
    for packages in ("other", ""):
        with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES"):
            narrowed(monkeypatch, packages).module_class("tests.models:Net", "p")


def test_factories_are_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert narrowed(monkeypatch, "tests").factory("tests.models:double", "p") is models.double
    with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES"):
        narrowed(monkeypatch, "").factory("tests.models:double", "p")


def test_classes_that_the_caller_gives_are_the_callers_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imports = narrowed(monkeypatch, "", classes={"Net": models.Net})
    assert imports.module_class("gone.module:Net", "p") is models.Net


@pytest.mark.parametrize("script", [True, False])
def test_archived_source_is_narrowed(monkeypatch: pytest.MonkeyPatch, script: bool) -> None:
    text = b"import torch\nclass Net(torch.nn.Module): ..."
    given = {
        "source": {"narrow_kept": SourceFile("narrow_kept", text, "", script, False)},
        "wanted": {"narrow_kept": frozenset({"Net"})},
    }
    name = "narrow_kept:Net"
    assert narrowed(monkeypatch, "narrow_kept", **given).module_class(name, "p").__name__ == "Net"
    for packages in ("other", ""):
        with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES"):
            narrowed(monkeypatch, packages, **given).module_class(name, "p")


def test_what_archived_source_imports_is_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "narrow_one": b"import torch, narrow_two\nclass Net(torch.nn.Module): ...",
        "narrow_two": b"",
    }
    source = {name: SourceFile(name, text, "", False, False) for name, text in texts.items()}
    with pytest.raises(ClassNotFoundError, match="narrow_two"):
        narrowed(monkeypatch, "narrow_one", source=source).module_class("narrow_one:Net", "p")
    both = narrowed(monkeypatch, "narrow_one,narrow_two", source=source)
    assert both.module_class("narrow_one:Net", "p").__name__ == "Net"


def test_a_module_that_is_not_listed_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "narrow_disk.py").write_text("raise SystemExit\nclass Net: ...")
    with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES"):
        narrowed(monkeypatch, "").module_class("narrow_disk:Net", "p")
