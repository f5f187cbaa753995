"""Checkpoints made by somebody who wants code to run. None may get as far as importing or calling.

Each attack is put where a checkpoint can put it: as the class of a module, as an attribute, as an
argument of a constructor, as a hook. Anything that would be imported or called leaves a trace.
"""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from os import system
from pathlib import Path
from subprocess import run  # noqa: F401 - what a model's own file may well import
from tempfile import TemporaryDirectory  # noqa: F401
from typing import Any

import pytest
import torch
from torch import nn

from tests import models
from tracker.architecture.constructor import construct
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import TensorPool, build
from tracker.architecture.structure import describe_tree
from tracker.architecture.trust import Trust
from tracker.errors import ClassNotFoundError, FormatError, UntrustedCheckpointError


class OwnNet(nn.Module):
    """A model of this very file, so that what the file imports is within reach."""

    def __init__(self, call: Any = None, *args: Any) -> None:
        super().__init__()
        if call is not None:
            call(*args)


OWN = f"{__name__}:OwnNet"
REFUSED = (UntrustedCheckpointError, FormatError)


@pytest.fixture(autouse=True)
def traps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if anything dangerous is called, or any module is imported."""

    def trap(*args: Any, **kwargs: Any) -> Any:
        pytest.fail(f"called with {args} {kwargs}")

    for owner, name in (
        (os, "system"),
        (subprocess, "Popen"),
        (pickle, "loads"),
        (torch, "load"),
        (torch.hub, "load"),
        (torch, "compile"),
        (torch.jit, "load"),
        (builtins, "eval"),
    ):
        monkeypatch.setattr(owner, name, trap)
    sysconfig.get_config_vars()  # imports a module of its own when first asked
    before = set(sys.modules)
    yield
    assert set(sys.modules) - before == set()


CALLABLES = [
    "os:system",
    "posix:system",
    "builtins:eval",
    "builtins:exec",
    "builtins:__import__",
    "builtins:getattr",
    "builtins:open",
    "subprocess:Popen",
    "subprocess:run",
    "pickle:loads",
    "torch:load",
    "torch:save",
    "torch:compile",
    "torch.hub:load",
    "torch.jit:load",
    "torch:hub.load",
    "torch.jit:script",
    "torch.serialization:load",
    "torch.package:PackageImporter",
    "torch.utils.cpp_extension:load_inline",
    "torch._dynamo:optimize",
    "torch:os.system",
    "functools:partial",
    "functools:reduce",
    "operator:methodcaller",
    "operator:attrgetter",
    "importlib:import_module",
    "runpy:run_path",
    "shutil:rmtree",
    "ctypes:CDLL",
    "code:interact",
    "enum:Enum",
    "pathlib:Path.unlink",
    "tempfile:TemporaryDirectory",
    "webbrowser:open",
    "antigravity:x",
    "this:d",
    "torch:nn.__builtins__",
    "torch.nn:__builtins__",
    "torch.nn.functional:__builtins__",
    "torch.nn.functional:__loader__",
    "torch.nn.functional:torch.load",
    "torch.nn.functional:handle_torch_function",
    "torch.nn.functional:boolean_dispatch",
    "torch.nn.modules.module:warnings.warn",
    "torch.nn.modules.module:register_module_forward_hook",
    "torch.nn.modules.module:Module.__init__.__globals__",
    "torch.nn.modules.module:Module.__class__",
    "torch.nn.modules.linear:Linear.__subclasses__",
    f"{__name__}:system",
    f"{__name__}:run",
    f"{__name__}:TemporaryDirectory",
    f"{__name__}:os.system",
    f"{__name__}:subprocess.run",
    f"{__name__}:__builtins__",
    f"{__name__}:OwnNet.__init__.__globals__",
    "torch.distributed.nn.api.remote_module:RemoteModule",
    "torch.fx.graph_module:GraphModule",
    "torch.jit._script:ScriptModule",
    "torch.export.unflatten:UnflattenedModule",
    "pip.__main__:sys",
    "_pytest.main:wrap_session",
    "../evil:x",
    "/etc/passwd:x",
    "nt:system",
]


def module(cls: Any = OWN, **entries: Any) -> dict[str, Any]:
    return {
        "class": cls,
        "training": True,
        "parameters": [],
        "buffers": [],
        "children": [],
        "attributes": {},
        **entries,
    }


def structure(*modules: Any, objects: Any = ()) -> dict[str, Any]:
    return {"modules": list(modules), "objects": list(objects)}


def refused_structure(data: Any, imports: Imports | None = None) -> None:
    with pytest.raises(REFUSED):
        build(data, imports or Imports(), TensorPool())


def refused_call(cls: Any, args: Any, objects: Any = ()) -> None:
    call = {"modules": [{"class": cls, "args": args, "kwargs": []}], "objects": list(objects)}
    with pytest.raises(REFUSED):
        construct(call, Imports(), TensorPool().get, "cpu")


@pytest.mark.parametrize("name", CALLABLES)
def test_no_class_is_constructed_but_modules(name: str) -> None:
    refused_structure(structure(module(name)))
    refused_call(name, ["echo owned"])


@pytest.mark.parametrize("tag", ["$function", "$class"])
@pytest.mark.parametrize("name", CALLABLES)
def test_no_callable_is_referred_to(name: str, tag: str) -> None:
    value = {tag: name}
    refused_structure(structure(module(attributes={"act": value})))
    refused_structure(structure(module(hooks={"_forward_hooks": [[value, [False, False]]]})))
    refused_call(OWN, [value, "echo owned"])
    refused_call(OWN, [{"$partial": [value, ["echo owned"], {}]}])


@pytest.mark.parametrize("name", CALLABLES)
def test_no_object_or_enum_of_foreign_classes_is_made(name: str) -> None:
    objects = [{"class": name, "attributes": {"x": 1}, "items": []}]
    refused_structure(structure(module(attributes={"x": {"$object": 0}}), objects=objects))
    refused_structure(structure(module(attributes={"x": {"$enum": [name, "echo owned"]}})))
    refused_call(OWN, [{"$object": 0}], objects)


@pytest.mark.parametrize("trust", ["os", "builtins", "subprocess", "torch", "pickle"])
def test_trusting_a_package_does_not_open_the_standard_library(trust: str) -> None:
    imports = Imports(trust=Trust(frozenset({trust})))
    for name in ("os:system", "builtins:eval", "subprocess:Popen", "torch:load", "pickle:loads"):
        refused_structure(structure(module(attributes={"x": {"$function": name}})), imports)


@pytest.mark.parametrize(
    "owner",
    [
        {"$path": "/tmp/x"},
        "text",
        {"$bytes": ""},
        {"$logger": "x"},
        {"$decimal": "1"},
        [1],
        {"$class": OWN},
        {"$function": "torch:relu"},
        {"$namespace": []},
    ],
)
def test_methods_are_of_modules_and_objects_only(owner: Any) -> None:
    for name in ("unlink", "write_text", "format", "__init__", "__reduce__", "mro"):
        refused_call(OWN, [{"$method": [owner, name]}])


def test_a_method_is_no_attribute_that_happens_to_be_callable() -> None:
    target = module(attributes={"act": {"$function": "torch:relu"}})
    for name in ("act", "__class__", "__dict__", "no_such", "__init_subclass__"):
        value = {"$method": [{"$module": 1}, name]}
        refused_structure(structure(module(attributes={"x": value}), target))


def test_the_classes_given_by_the_caller_are_not_called_unless_modules() -> None:
    imports = Imports(classes={"system": system, "Popen": subprocess.Popen})
    refused_structure(structure(module("os:system")), imports)
    refused_structure(structure(module("x:Popen")), imports)


def test_a_module_is_not_imported_for_its_side_effects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "attack_effects.py").write_text("import os\ndef f(): x = 1\nopen('ran', 'w')")
    (tmp_path / "attack_pkg").mkdir()
    (tmp_path / "attack_pkg" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "attack_pkg" / "__main__.py").write_text("class Net: pass\nraise SystemExit")
    for name in (
        "attack_effects:Net",
        "attack_effects:os",
        "attack_effects:x",
        "attack_pkg:Net",
        "attack_pkg.__main__:Net",
    ):
        refused_structure(structure(module(name)))
    with pytest.raises(ClassNotFoundError):
        build(structure(module("attack_pkg.inner:Net")), Imports(), TensorPool())


def test_a_script_that_lies_about_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "attack_script.py").write_text("raise SystemExit\n")
    refused_structure(structure(module("attack_script:Net")))


def test_archived_source_does_not_run_by_itself() -> None:
    from tracker.architecture.isolated import SourceFile

    evil = SourceFile("attack_source", b"raise SystemExit\nclass Net: pass", "", False, False)
    with pytest.raises(ClassNotFoundError):
        build(
            structure(module("attack_source:Net")),
            Imports(source={"attack_source": evil}),
            TensorPool(),
        )


def test_archived_source_that_is_not_trusted_hides_no_module_of_this_process() -> None:
    from tracker.architecture.isolated import SourceFile

    evil = SourceFile("tests.models", b"raise SystemExit", "", False, False)
    imports = Imports(source={"tests.models": evil})
    assert imports.module_class("tests.models:Net", "p") is models.Net


def test_archived_source_that_is_trusted_goes_first_and_stays_isolated() -> None:
    from tracker.architecture.isolated import SourceFile

    older = b"import torch\nclass Net(torch.nn.Module):\n    older = True\n"
    file = SourceFile("tests.models", older, "", False, False)
    imports = Imports(source={"tests.models": file}, trust=Trust(source=True))
    assert imports.module_class("tests.models:Net", "p").older
    assert sys.modules["tests.models"] is models


@pytest.mark.parametrize("name", ["_parameters", "_modules", "_forward_hooks", "training"])
def test_attributes_do_not_replace_what_a_module_is_made_of(name: str) -> None:
    refused_structure(structure(module(attributes={name: 1})))


def test_unknown_kinds_of_hooks_are_refused() -> None:
    for name in ("__class__", "register_forward_hook", "_evil_hooks", "forward"):
        refused_structure(structure(module(hooks={name: []})))


MALFORMED = [
    None,
    [],
    3,
    "x",
    {},
    {"modules": None},
    {"modules": []},
    {"modules": [3]},
    {"modules": [{}]},
    {"modules": [{"class": 3}]},
    {"modules": [{"class": "x"}]},
    {"modules": [{"class": [OWN]}]},
    structure({"class": OWN}),
    structure(module(parameters=3)),
    structure(module(parameters=[[1]])),
    structure(module(parameters=[["w", {"group": "model"}]])),
    structure(
        module(parameters=[["w", {"group": 1, "name": 1, "dtype": "float32", "shape": ["x"]}]])
    ),
    structure(module(parameters=[["w", {"group": "", "name": "", "dtype": "load", "shape": []}]])),
    structure(module(parameters=[["w", {"group": "", "name": "", "dtype": ["x"], "shape": []}]])),
    structure(
        module(
            parameters=[
                [
                    "w",
                    {
                        "group": "",
                        "name": "",
                        "dtype": "int8",
                        "shape": [1],
                        "parameter": True,
                        "requires_grad": True,
                    },
                ]
            ]
        )
    ),
    structure(module(buffers=[["w"]])),
    structure(module(children=[["x", 99]])),
    structure(module(children=[["x", "0"]])),
    structure(module(children=3)),
    structure(module(attributes=[])),
    structure(module(attributes={"x": {"$module": -1}})),
    structure(module(attributes={"x": {"$object": 0}})),
    structure(module(attributes={"x": {"$a": 1}})),
    structure(module(hooks=3)),
    structure(module(hooks={"_forward_hooks": [[1]]})),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_structures_are_format_errors(data: Any) -> None:
    with pytest.raises(FormatError):
        build(data, Imports(), TensorPool())


def test_a_structure_cut_short_or_changed_anywhere_never_raises_anything_else() -> None:
    """Replace each part of a real description in turn by something of another type."""
    tree = describe_tree(models.Hooked())
    for path in _paths(tree.structure):
        for value in (None, 3, "x", [], {}, {"$function": "os:system"}, {"$class": "os:system"}):
            data = _replaced(tree.structure, path, value)
            try:
                build(data, Imports(), TensorPool())
            except (*REFUSED, ClassNotFoundError):
                pass


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from _paths(item, (*path, key))


def _replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = _replaced(data[path[0]], path[1:], value)
    return copy


def test_own_functions_are_still_allowed() -> None:
    data = structure(
        module("tests.models:Net", attributes={"act": {"$function": "tests.models:double"}})
    )
    assert build(data, Imports(), TensorPool()).act is models.double
