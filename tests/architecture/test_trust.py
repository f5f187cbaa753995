from __future__ import annotations

import inspect
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tests.models  # noqa: F401 - a module of the user's own is one that is imported
from tracker.architecture.trust import (
    TRUSTED_FUNCTIONS,
    Trust,
    check_module_name,
    is_trusted_function,
    is_trusted_object,
    parse_trust,
)
from tracker.errors import InvalidArgumentError, UntrustedCheckpointError


def test_trust_is_source_or_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKER_TRUSTED_PACKAGES", raising=False)
    assert parse_trust(None) == Trust()
    assert parse_trust("source") == Trust(source=True)
    timm = frozenset({"timm"})
    assert parse_trust(["source", "timm.layers"]) == Trust(timm, source=True, named=timm)


@pytest.mark.parametrize("trust", ["", "a b", ["ok", 3], "../x"])
def test_anything_else_is_refused(trust: object) -> None:
    with pytest.raises(InvalidArgumentError, match="trust="):
        parse_trust(trust)  # type: ignore[arg-type]


def test_the_environment_narrows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_TRUSTED_PACKAGES", "mine, other")
    assert parse_trust(None).only == {"mine", "other"}


def test_every_listed_function_exists_and_is_one() -> None:
    for reference in TRUSTED_FUNCTIONS:
        module, _, name = reference.partition(":")
        __import__(module)
        assert callable(getattr(sys.modules[module], name)), reference


def test_a_models_own_package_is_trusted_as_a_whole_if_it_is_the_users() -> None:
    trust = Trust().extended(["tests.models"])
    assert is_trusted_function("tests.other:anything", trust)
    assert is_trusted_object("tests.other:Config", trust)
    assert not is_trusted_function("elsewhere:anything", trust)


def test_of_an_installed_package_only_the_files_of_the_models_classes_are_trusted() -> None:
    import hypothesis.strategies  # noqa: F401 - stands for an installed package

    trust = Trust().extended(["hypothesis.strategies"])
    assert is_trusted_function("hypothesis.strategies:text", trust)
    assert not is_trusted_function("hypothesis.database:anything", trust)
    assert is_trusted_object("hypothesis.database:Config", trust)


def test_torch_and_the_standard_library_never_become_own() -> None:
    trust = Trust().extended(["torch.nn.modules.linear", "enum", "os"])
    assert trust == Trust()


@pytest.mark.parametrize(
    "reference",
    [
        "torch:load",
        "torch:save",
        "torch:compile",
        "torch:hub",
        "torch:from_file",
        "torch.nn.functional:_verify",
        "torch.nn.functional:F.relu",
        "os:system",
        "torch.nn.modules.module:register_module_forward_hook",
        "builtins:eval",
        "operator:attrgetter",
        "operator:methodcaller",
        "functools:partial",
    ],
)
def test_unsafe_functions_are_not_trusted(reference: str) -> None:
    assert not is_trusted_function(reference, Trust())


@pytest.mark.parametrize(
    "reference",
    [
        "os:system",
        "builtins:eval",
        "pickle:loads",
        "enum:Enum",
        "torch:load",
        "torch.hub:load",
        "torch.jit:ScriptModule",
        "torch.fx.graph_module:GraphModule",
        "torch._dynamo:x",
        "torch.distributed.nn.api.remote_module:RemoteModule",
        "torch.package:PackageImporter",
        "torch.utils.cpp_extension:load_inline",
        "torch.nn:__builtins__",
        "a:b.__globals__",
        "/etc/passwd:x",
        "..evil:x",
        "a..b:x",
        "a/b:x",
        "pkg.__main__:Net",
        "a:b c",
        "a\0b:c",
        "torch.nnx:y",
    ],
)
def test_names_that_no_model_refers_to_are_refused(reference: str) -> None:
    with pytest.raises(UntrustedCheckpointError, match=r"structure\.modules\.3"):
        check_module_name(reference, "structure.modules.3", Trust(frozenset({"os", "pickle"})))


@pytest.mark.parametrize(
    "reference",
    [
        "torch.nn.modules.linear:Linear",
        "mine.net:Net.Inner",
        "train-small:Net",
        "__main__:Net",
        "torch.ao.nn.quantized:Linear",
        "math:sqrt",
        "torch:tanh",
        "torch:Tensor",
    ],
)
def test_names_that_models_refer_to_pass(reference: str) -> None:
    check_module_name(reference, "p", Trust())


def test_advice_is_given_only_where_it_helps() -> None:
    with pytest.raises(UntrustedCheckpointError) as refused:
        check_module_name("os:system", "p", Trust())
    assert "trust=" not in str(refused.value)


def test_every_public_function_of_functional_is_of_torch_itself() -> None:
    foreign = {
        name
        for name, value in vars(F).items()
        if inspect.isfunction(value) and value.__module__ != F.__name__ and name[0] != "_"
    }
    # Refused by the reader, because they say that they are of another module.
    assert all(vars(F)[name].__module__ != F.__name__ for name in foreign)
    assert {"relu", "gelu", "softmax"} & foreign == set()
    assert issubclass(nn.Linear, torch.nn.Module)
