from __future__ import annotations

import argparse
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker.architecture import source
from tracker.architecture.isolated import SourceFile, run_isolated
from tracker.architecture.source import archive, is_first_party, is_first_party_module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's project: a package of three modules, imported."""
    package = tmp_path / "src_proj"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(
        "from __future__ import annotations\nimport torch, json\nfrom .layers import Block\n"
        "from . import config as c\nimport tracker\nclass Net: pass\n"
    )
    (package / "layers.py").write_text("class Block: pass\n")
    (package / "config.py").write_text("width = 3\n")
    (package / "unused.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("src_proj.net")
    yield package
    for name in [name for name in sys.modules if name.startswith("src_proj")]:
        del sys.modules[name]


def test_installed_and_standard_files_are_not_first_party(project: Path) -> None:
    assert is_first_party(project / "net.py")
    assert not is_first_party(torch.__file__)
    assert not is_first_party(np.__file__)
    assert not is_first_party(json.__file__)
    assert not is_first_party(argparse.__file__)


def test_modules_are_first_party_by_their_files(project: Path) -> None:
    assert is_first_party_module("src_proj.net")
    assert is_first_party_module(__name__)
    assert not is_first_party_module("torch.nn")
    assert not is_first_party_module("never_imported")


def test_the_module_its_package_and_its_own_imports_are_archived(project: Path) -> None:
    files = archive(["src_proj.net"])
    assert [file.module for file in files] == [
        "src_proj",
        "src_proj.config",
        "src_proj.layers",
        "src_proj.net",
    ]
    net = files[-1]
    assert net.content == (project / "net.py").read_bytes()
    assert (net.path, net.script, net.package) == (str(project / "net.py"), False, False)
    assert files[0].package


def test_installed_modules_are_not_archived() -> None:
    assert archive(["torch.nn.modules.linear", "numpy", "json"]) == []


def test_the_archive_is_bounded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_SOURCE_FILES", 2)
    assert len(archive(["src_proj.net"])) == 2
    monkeypatch.setattr(source, "MAX_SOURCE_FILE", 10)
    assert "src_proj.net" not in [file.module for file in archive(["src_proj.net"])]


def test_a_script_is_archived_under_the_name_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train.py"
    file.write_text("class Net: pass")
    main = types.ModuleType("__main__")
    main.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert archive(["train"]) == [SourceFile("train", b"class Net: pass", str(file), True, False)]


def test_of_a_notebook_the_cells_that_are_python_are_archived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = types.ModuleType("__main__")
    main._ih = ["", "class Net: pass", "syntax error here", "x = 1"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    (file,) = archive(["__main__"])
    assert file.content.strip() == b"class Net: pass\n\nx = 1"
    assert (file.path, file.script) == ("", True)
    assert is_first_party_module("__main__")


def test_an_interactive_session_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert archive(["__main__"]) == []


def test_archived_source_is_archived_again_as_it_was() -> None:
    file = SourceFile("src_iso", b"class Net: pass", "/there/src_iso.py", False, False)
    run_isolated("src_iso", {"src_iso": file}, {})
    assert archive(["src_iso"]) == [file]


def test_a_file_that_is_gone_or_no_python_is_left_out(project: Path) -> None:
    (project / "layers.py").write_text("not python at all")
    (project / "config.py").unlink()
    assert [file.module for file in archive(["src_proj.net"])] == [
        "src_proj",
        "src_proj.layers",
        "src_proj.net",
    ]
