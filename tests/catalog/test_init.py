"""The catalog's names are resolved when they are used."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tracker import catalog


def test_every_name_is_where_it_is_said_to_be() -> None:
    assert sorted(catalog._HOMES) == sorted(catalog.__all__)
    for name, home in catalog._HOMES.items():
        assert getattr(importlib.import_module(home), name) is getattr(catalog, name)


def test_no_name_is_that_of_a_module_which_would_hide_it() -> None:
    assert not {module.name for module in pkgutil.iter_modules(catalog.__path__)} & set(
        catalog.__all__
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'tracker.catalog' has no attribute 'worst'"):
        catalog.worst  # noqa: B018
