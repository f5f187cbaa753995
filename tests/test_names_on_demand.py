"""The names of some packages are resolved when they are used: imports cost more than loading."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

from tracker import api, catalog


@pytest.mark.parametrize("package", [api, catalog])
def test_every_name_is_where_it_is_said_to_be(package: ModuleType) -> None:
    assert sorted(package._HOMES) == sorted(package.__all__)
    for name, home in package._HOMES.items():
        assert getattr(importlib.import_module(home), name) is getattr(package, name)


@pytest.mark.parametrize("package", [api, catalog])
def test_no_name_is_that_of_a_module_which_would_hide_it(package: ModuleType) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)


@pytest.mark.parametrize("package", [api, catalog])
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'worst'"):
        package.worst  # noqa: B018
