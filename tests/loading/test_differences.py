"""How the code that is importable now differs from the source in a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tracker.architecture.imports import ARCHIVED, Imports
from tracker.architecture.isolated import SourceFile
from tracker.loading.differences import source_differences

THEN = b"import torch\n\nclass Net:\n    width = 3\n\nclass Other:\n    pass\n"


def imports(
    content: bytes = THEN,
    module: str = "difference_net",
    *,
    wanted: str | None = "Net",
    script: bool = False,
) -> Imports:
    archived = SourceFile(module, content, f"/home/ada/{module}.py", script, False)
    names = frozenset() if wanted is None else frozenset({wanted})
    return Imports(source={module: archived}, wanted={module: names})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def write(content: bytes) -> Path:
    file = Path("difference_net.py").resolve()
    file.write_bytes(content)
    return file


def test_the_same_source_differs_in_nothing() -> None:
    write(THEN)
    assert source_differences(imports()) == {}


def test_a_changed_definition_is_shown_from_then_to_now() -> None:
    file = write(THEN.replace(b"width = 3", b"width = 4"))
    assert source_differences(imports())["difference_net"] == (
        "--- /home/ada/difference_net.py (when logged)\n"
        f"+++ {file} (now)\n"
        "@@ -1,7 +1,7 @@\n"
        " import torch\n"
        " \n"
        " class Net:\n"
        "-    width = 3\n"
        "+    width = 4\n"
        " \n"
        " class Other:\n"
        "     pass\n"
    )


def test_nothing_is_imported_for_it() -> None:
    write(b"raise SystemExit('imported')\n" + THEN.replace(b"3", b"4"))
    assert source_differences(imports()) != {}
    assert "difference_net" not in sys.modules


def test_what_the_class_does_not_need_is_no_difference() -> None:
    write(THEN.replace(b"pass", b"x = 1") + b"# more\n")
    assert source_differences(imports()) == {}


def test_of_a_module_that_no_class_is_in_all_but_comments_and_layout_counts() -> None:
    write(THEN.replace(b"import torch\n", b"import torch  # for tensors\n\n"))
    assert source_differences(imports(wanted=None)) == {}
    write(THEN.replace(b"pass", b"x = 1"))
    assert source_differences(imports(wanted=None)) != {}


def test_a_script_is_found_in_the_working_directory() -> None:
    write(THEN.replace(b"3", b"4"))
    assert source_differences(imports(script=True)) != {}


def test_a_module_that_is_gone_has_no_difference_to_show() -> None:
    assert source_differences(imports()) == {}


def test_source_that_ran_from_the_checkpoint_is_what_it_was() -> None:
    write(THEN.replace(b"3", b"4"))
    looked = imports()
    looked.found["difference_net:Net"] = ARCHIVED
    assert source_differences(looked) == {}


def test_files_that_are_no_python_are_compared_as_bytes() -> None:
    write(b"\xff not python\n")
    assert source_differences(imports(b"\xff not python\n", wanted=None)) == {}
    shown = source_differences(imports(b"\xfe not python", wanted=None))["difference_net"]
    assert "\\ No newline at end of file\n+" in shown
