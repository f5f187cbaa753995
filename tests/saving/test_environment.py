from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tracker.saving import environment as room

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    room._versions.cache_clear()
    room._git.cache_clear()


def main_is_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(
        sys.modules["__main__"], "__file__", str(folder / "train.py"), raising=False
    )


def test_versions_of_the_packages_of_the_models_classes_are_kept() -> None:
    packages = room.environment(["torch.nn.modules.linear", "hypothesis.strategies", "mine"])[
        "packages"
    ]
    assert isinstance(packages, dict)
    assert packages["torch"] == torch.__version__
    assert packages["hypothesis"] == importlib.metadata.version("hypothesis")
    assert set(packages) == {"torch", "mlflow", "checkpoint-tracker", "hypothesis"}


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert room.environment([])["packages"] == dict.fromkeys(
        ["checkpoint-tracker", "mlflow", "torch"]
    )


def test_outside_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    main_is_in(monkeypatch, tmp_path)
    assert room.environment([])["git"] is None


def test_the_commit_of_the_training_script_is_kept_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    main_is_in(monkeypatch, tmp_path)
    (tmp_path / "train.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert room.environment([])["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "train.py").write_text("2")
    room._git.cache_clear()
    assert room.environment([])["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert room.environment([])["git"] is None
