from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from tests import models
from tracker.architecture.imports import Imports
from tracker.architecture.isolated import SourceFile
from tracker.architecture.trust import Trust
from tracker.errors import ClassNotFoundError, FormatError, UntrustedCheckpointError

NET = "import torch.nn as nn\nclass Net(nn.Module): origin = '{}'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is None or file.startswith(str(tmp_path)):
            del sys.modules[name]


def script(name: str, text: str, path: str = "") -> dict[str, SourceFile]:
    return {name: SourceFile(name, text.encode(), path, True, False)}


def archived(name: str, text: str, path: str = "") -> dict[str, SourceFile]:
    return {name: SourceFile(name, text.encode(), path, False, False)}


def test_an_imported_class_is_found_where_it_is() -> None:
    imports = Imports()
    assert imports.module_class("tests.models:Net", "p") is models.Net
    assert imports.found == {"tests.models:Net": "already imported"}


def test_an_importable_class_is_imported(folder: Path) -> None:
    (folder / "imp_pkg").mkdir()
    (folder / "imp_pkg" / "__init__.py").write_text("")
    (folder / "imp_pkg" / "net.py").write_text(NET.format("disk"))
    cls = Imports().module_class("imp_pkg.net:Net", "p")
    assert cls.origin == "disk"


def test_a_class_of_a_namespace_package_is_imported(folder: Path) -> None:
    (folder / "imp_ns").mkdir()
    (folder / "imp_ns" / "net.py").write_text(NET.format("disk"))
    assert Imports().module_class("imp_ns.net:Net", "p").origin == "disk"


@pytest.mark.parametrize("key", ["Net", "gone.module:Net"])
def test_a_class_given_by_the_caller_wins(key: str) -> None:
    imports = Imports(classes={key: models.Net})
    assert imports.module_class("gone.module:Net", "p") is models.Net


def test_a_class_given_by_the_caller_must_be_a_module() -> None:
    with pytest.raises(UntrustedCheckpointError, match=r"not a torch\.nn\.Module"):
        Imports(classes={"Net": dict}).module_class("gone:Net", "p")


def test_a_module_that_does_not_define_the_name_is_never_imported(folder: Path) -> None:
    (folder / "imp_side.py").write_text("open('ran', 'w')\nimport os\n")
    for name in ("Net", "os"):
        with pytest.raises(UntrustedCheckpointError, match="does not define it"):
            Imports().find(f"imp_side:{name}", "p")
    assert not (folder / "ran").exists()


def test_nor_is_one_where_the_name_is_a_function(folder: Path) -> None:
    (folder / "imp_main.py").write_text("open('ran', 'w')\ndef main(): ...\n")
    with pytest.raises(UntrustedCheckpointError, match="does not define it"):
        Imports().module_class("imp_main:main", "p")
    assert not (folder / "ran").exists()


def test_nor_is_its_package(folder: Path) -> None:
    (folder / "imp_par").mkdir()
    (folder / "imp_par" / "__init__.py").write_text("open('ran', 'w')")
    (folder / "imp_par" / "inner.py").write_text("x = 1")
    with pytest.raises(UntrustedCheckpointError, match="does not define it"):
        Imports().find("imp_par.inner:Net", "p")
    with pytest.raises(ClassNotFoundError):
        Imports().find("imp_par.missing:Net", "p")
    assert not (folder / "ran").exists()
    assert "imp_par" not in sys.modules


def test_a_program_of_a_package_is_never_run(folder: Path) -> None:
    (folder / "imp_prog").mkdir()
    (folder / "imp_prog" / "__main__.py").write_text("class Net: pass\nopen('ran', 'w')")
    with pytest.raises(UntrustedCheckpointError):
        Imports().find("imp_prog.__main__:Net", "p")
    assert not (folder / "ran").exists()


def test_an_import_that_fails_says_so(folder: Path) -> None:
    (folder / "imp_bad.py").write_text("class Net: pass\n1 / 0")
    with pytest.raises(ClassNotFoundError, match="ZeroDivisionError"):
        Imports().find("imp_bad:Net", "p")


def test_a_script_that_does_not_define_the_class_is_not_touched(folder: Path) -> None:
    (folder / "imp_train.py").write_text("from pathlib import *\nimport imp_none\nNet = main()")
    source = script("imp_train", NET.format("kept"), "/gone/imp_train.py")
    with pytest.raises(ClassNotFoundError, match="was not found"):
        Imports(source=source, wanted={"imp_train": frozenset({"Net"})}).find("imp_train:Net", "p")


def test_of_a_script_only_the_definitions_run(folder: Path) -> None:
    text = NET.format("disk") + "raise SystemExit\n"
    (folder / "imp-script.py").write_text(text)
    imports = Imports(source=script("imp-script", "old"), wanted={"imp-script": frozenset({"Net"})})
    assert imports.module_class("imp-script:Net", "p").origin == "disk"
    assert "definitions in the script" in imports.found["imp-script:Net"]


def test_archived_source_runs_only_if_trusted() -> None:
    source = archived("imp_gone", NET.format("kept"), "/there/imp_gone.py")
    with pytest.raises(ClassNotFoundError, match=r'it was in /there/.*trust="source"'):
        Imports(source=source).module_class("imp_gone:Net", "p")
    trusted = Imports(source=source, trust=Trust(source=True))
    assert trusted.module_class("imp_gone:Net", "p").origin == "kept"


def test_archived_source_that_still_lies_there_is_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "imp_mine.py"
    file.write_text(NET.format("mine"))
    source = archived("imp_mine", file.read_text(), str(file))
    with pytest.raises(ClassNotFoundError):
        Imports(source=source).module_class("imp_mine:Net", "p")
    assert Imports(source=source, local=True).module_class("imp_mine:Net", "p").origin == "mine"
    other = archived("imp_mine", NET.format("theirs"), str(file))
    with pytest.raises(ClassNotFoundError):
        Imports(source=other, local=True).module_class("imp_mine:Net", "p")


def test_a_file_that_lies_here_runs_only_as_the_module_that_it_is(tmp_path: Path) -> None:
    """Whoever knows the text of a file on this machine could have it run under any name."""
    file = tmp_path / "imp_setup.py"
    file.write_text(f"{NET.format('x')}raise SystemExit\n")
    for name in ("imp_other", "imp_other.imp_setup", "imp_other.setup"):
        source = archived(name, file.read_text(), str(file))
        with pytest.raises(ClassNotFoundError, match="was not found"):
            Imports(source=source, local=True).module_class(f"{name}:Net", "p")


def test_nor_does_a_file_that_does_not_define_what_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "imp_doing.py"
    file.write_text("def main(): ...\nraise SystemExit\n")
    source = archived("imp_doing", file.read_text(), str(file))
    for name in ("main", "Net"):
        with pytest.raises(ClassNotFoundError, match="was not found"):
            Imports(source=source, local=True).module_class(f"imp_doing:{name}", "p")


@pytest.mark.parametrize("path", ["imp_pipe.py", "/dev/zero", "a\0b/imp_pipe.py", "\ud800.py"])
def test_a_path_that_is_no_regular_file_is_not_read(folder: Path, path: str) -> None:
    os.mkfifo("imp_pipe.py")
    source = archived("imp_pipe", NET.format("x"), path)
    with pytest.raises(ClassNotFoundError):
        Imports(source=source, local=True).module_class("imp_pipe:Net", "p")


def test_archived_source_that_is_not_trusted_hides_no_module_of_this_process() -> None:
    source = archived("tests.models", "raise SystemExit")
    assert Imports(source=source).module_class("tests.models:Net", "p") is models.Net


def test_archived_source_that_is_trusted_goes_first_and_stays_isolated() -> None:
    imports = Imports(source=archived("tests.models", NET.format("kept")), trust=Trust(source=True))
    assert imports.module_class("tests.models:Net", "p").origin == "kept"
    assert sys.modules["tests.models"] is models


def test_each_checkpoint_gets_its_own_archived_source() -> None:
    for origin in ("one", "two"):
        source = archived("imp_both", NET.format(origin))
        imports = Imports(source=source, trust=Trust(source=True))
        assert imports.module_class("imp_both:Net", "p").origin == origin


def test_archived_source_serves_where_the_installed_module_lost_the_class(folder: Path) -> None:
    (folder / "imp_moved.py").write_text("x = 1")
    source = archived("imp_moved", NET.format("kept"))
    with pytest.raises(ClassNotFoundError):
        Imports(source=source).find("imp_moved:Net", "p")
    imports = Imports(source=source, trust=Trust(source=True))
    assert imports.module_class("imp_moved:Net", "p").origin == "kept"


def test_a_missing_class_lists_what_can_be_done() -> None:
    with pytest.raises(ClassNotFoundError, match=r"classes=\{\"Net\": Net\}"):
        Imports().module_class("gone.module:Net", "p")


@pytest.mark.parametrize("name", [None, 3, "", "Net", "a:b:c", ":Net", "a:", ["a:b"]])
def test_what_is_no_reference_is_a_format_error(name: object) -> None:
    with pytest.raises(FormatError, match=r"structure\.modules\.0"):
        Imports().module_class(name, "structure.modules.0")  # type: ignore[arg-type]


def test_a_class_that_moved_and_is_imported_back_is_found(folder: Path) -> None:
    (folder / "imp_new.py").write_text(NET.format("new"))
    (folder / "imp_old.py").write_text("from imp_new import Net")
    assert Imports().module_class("imp_old:Net", "p").origin == "new"


def test_narrowing_allows_listed_packages_only() -> None:
    imports = Imports(trust=Trust(only=frozenset({"other"})))
    assert imports.module_class("torch.nn.modules.linear:Linear", "p") is nn.Linear
    with pytest.raises(UntrustedCheckpointError, match="TRACKER_TRUSTED_PACKAGES"):
        imports.module_class("tests.models:Net", "p")


def test_a_script_of_the_same_name_elsewhere_gives_way_to_the_unchanged_one(folder: Path) -> None:
    (folder / "there").mkdir()
    original = folder / "there" / "train_a.py"
    original.write_text(NET.format("original"))
    (folder / "train_a.py").write_text(NET.format("stranger"))
    source = script("train_a", NET.format("original"), str(original))
    imports = Imports(source=source, local=True, wanted={"train_a": frozenset({"Net"})})
    assert imports.module_class("train_a:Net", "p").origin == "original"
    assert imports.changed == {}


def test_a_script_that_was_changed_since_is_used_and_noted(folder: Path) -> None:
    file = folder / "train_b.py"
    file.write_text(NET.format("edited"))
    source = script("train_b", NET.format("original"), str(file))
    imports = Imports(source=source, local=True, wanted={"train_b": frozenset({"Net"})})
    assert imports.module_class("train_b:Net", "p").origin == "edited"
    assert imports.changed == {"train_b": str(file)}


def test_a_module_that_was_changed_since_is_noted(folder: Path) -> None:
    (folder / "imp_changed.py").write_text(NET.format("edited"))
    source = archived("imp_changed", NET.format("original"))
    imports = Imports(source=source, wanted={"imp_changed": frozenset({"Net"})})
    assert imports.module_class("imp_changed:Net", "p").origin == "edited"
    assert imports.changed == {"imp_changed": str(folder / "imp_changed.py")}


def test_a_change_elsewhere_in_the_file_is_none(folder: Path) -> None:
    (folder / "train_c.py").write_text(NET.format("same") + "epochs = 20  # more\n")
    source = script("train_c", NET.format("same") + "epochs = 10\n")
    imports = Imports(source=source, wanted={"train_c": frozenset({"Net"})})
    assert imports.module_class("train_c:Net", "p").origin == "same"
    assert imports.changed == {}


def test_a_reference_is_looked_up_once_in_a_loading_call(folder: Path) -> None:
    file = folder / "train_d.py"
    file.write_text(NET.format("first"))
    source = script("train_d", NET.format("original"))
    imports = Imports(source=source, wanted={"train_d": frozenset({"Net"})})
    found = imports.module_class("train_d:Net", "p")
    file.write_text(NET.format("second"))
    assert imports.extended([found]).module_class("train_d:Net", "p") is found
