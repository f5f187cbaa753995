"""Versions of then and now, as far as they matter to what a model computes."""

from __future__ import annotations

import importlib.metadata
import platform

import pytest

from tracker.loading.versions import VersionChange, version_changes

TORCH = importlib.metadata.version("torch")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.1+cpu", "layers": "1.4.0", "mlflow": "3.17.2"}
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: versions.get(name) or real(name)
    )
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.4")


@pytest.mark.usefixtures("now")
def test_another_minor_version_is_told_and_a_patch_is_not() -> None:
    changes = version_changes(
        {"python": "3.12.0", "packages": {"torch": "2.13.0", "layers": "1.3.9"}}
    )
    assert changes == (VersionChange("layers", "1.3.9", "1.4.0"),)
    assert str(changes[0]) == "layers 1.3.9 then, 1.4.0 now"


@pytest.mark.usefixtures("now")
def test_python_counts_and_a_package_that_is_gone_is_told() -> None:
    changes = version_changes({"python": "3.11.7", "packages": {"no-such-package": "1.0"}})
    assert [str(change) for change in changes] == [
        "no-such-package 1.0 then, not installed now",
        "python 3.11.7 then, 3.12.4 now",
    ]


@pytest.mark.usefixtures("now")
def test_what_no_model_computes_with_is_left_out() -> None:
    assert version_changes({"packages": {"mlflow": "2.0", "checkpoint-tracker": "9.9"}}) == ()


@pytest.mark.parametrize(
    "environment", [{}, {"python": None, "packages": None}, {"packages": {"torch": 3, "": "1"}}]
)
def test_an_environment_of_another_form_says_nothing_that_is_wrong(environment: dict) -> None:
    assert [change for change in version_changes(environment) if change.package == "torch"] == []


def test_the_versions_of_this_process_differ_in_nothing() -> None:
    here = {"python": platform.python_version(), "packages": {"torch": TORCH}}
    assert version_changes(here) == ()
