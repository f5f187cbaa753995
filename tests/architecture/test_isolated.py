from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tracker.architecture.isolated import SourceFile, isolated_modules, run_isolated, source_of
from tracker.architecture.references import reference


def sources(**texts: str | bytes) -> dict[str, SourceFile]:
    """Make source files of ``name=text``; ``__`` in a name stands for a dot."""
    files = {}
    for key, text in texts.items():
        name = key.replace("__", ".")
        content = text.encode() if isinstance(text, str) else text
        package = any(other.startswith(key + "__") for other in texts)
        files[name] = SourceFile(name, content, "", False, package)
    return files


def test_a_module_runs_and_stays_unseen() -> None:
    module = run_isolated("iso_a", sources(iso_a="class Net: pass"), {})
    assert module.Net.__module__ == "iso_a"
    assert "iso_a" not in sys.modules
    assert next(isolated_modules("iso_a")) is module
    assert reference(module.Net) == "iso_a:Net"


def test_the_same_source_is_run_once() -> None:
    files = sources(iso_b="x = object()")
    assert run_isolated("iso_b", files, {}).x is run_isolated("iso_b", files, {}).x


def test_other_source_under_the_same_name_is_another_module() -> None:
    one = run_isolated("iso_c", sources(iso_c="x = 1"), {})
    two = run_isolated("iso_c", sources(iso_c="x = 2"), {})
    assert (one.x, two.x) == (1, 2)
    assert next(isolated_modules("iso_c")) is two


def test_packages_import_relatively_and_dataclasses_work() -> None:
    files = sources(
        iso_p="from .layers import Config",
        iso_p__layers="""
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Config:
    width: int = 3
""",
        iso_p__net="from . import Config\nfrom iso_p import layers\nwidth = Config().width",
    )
    assert run_isolated("iso_p.net", files, {}).width == 3
    assert not [name for name in sys.modules if name.startswith("iso_p")]


def test_a_package_without_a_file_is_served_too() -> None:
    files = {"iso_n.sub.net": SourceFile("iso_n.sub.net", b"x = 1", "", False, False)}
    assert run_isolated("iso_n.sub.net", files, {}).x == 1
    assert "iso_n" not in sys.modules


def test_loaded_modules_of_the_same_name_are_hidden_and_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "iso_h").mkdir()
    (tmp_path / "iso_h" / "__init__.py").write_text("origin = 'disk'")
    (tmp_path / "iso_h" / "net.py").write_text("origin = 'disk'")
    (tmp_path / "iso_h" / "other.py").write_text("origin = 'disk'")
    monkeypatch.syspath_prepend(tmp_path)
    import iso_h.net

    before = iso_h.net
    files = sources(iso_h="", iso_h__net="from iso_h.other import origin as other\norigin = 'kept'")
    module = run_isolated("iso_h.net", files, {})
    assert (module.origin, module.other) == ("kept", "disk")
    assert sys.modules["iso_h.net"] is before
    assert iso_h.net is before
    assert iso_h.origin == "disk"
    for name in [name for name in sys.modules if name.startswith("iso_h")]:
        monkeypatch.delitem(sys.modules, name)


def test_of_a_script_only_the_wanted_definitions_run() -> None:
    script = SourceFile(
        "iso_s", b"class Net: pass\nraise SystemExit", "/there/iso_s.py", True, False
    )
    module = run_isolated("iso_s", {"iso_s": script}, {"iso_s": frozenset({"Net"})})
    assert isinstance(module.Net, type)
    assert source_of(module) is script
    assert module.__file__ == "/there/iso_s.py"


def test_errors_of_the_source_come_through_and_leave_nothing_behind() -> None:
    path, names = list(sys.meta_path), set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        run_isolated("iso_e", sources(iso_e="1 / 0"), {})
    assert sys.meta_path == path
    assert "iso_e" not in sys.modules
    assert {name for name in sys.modules if name.startswith("iso_")} <= names
    with pytest.raises(ZeroDivisionError):
        run_isolated("iso_e", sources(iso_e="1 / 0"), {})


def test_source_in_another_encoding_or_with_a_mark_is_read() -> None:
    files = sources(iso_u="# -*- coding: latin-1 -*-\nx = 'é'".encode("latin-1"))
    assert run_isolated("iso_u", files, {}).x == "é"
    assert run_isolated("iso_m", sources(iso_m=b"\xef\xbb\xbfx = 1"), {}).x == 1


def test_files_are_named_by_module() -> None:
    assert SourceFile("a.b", b"", "", False, False).file == "a/b.py"
    assert SourceFile("a.b", b"", "", False, True).file == "a/b/__init__.py"
    assert len(SourceFile("a", b"x", "", False, False).digest) == 64


def test_tracebacks_and_inspect_find_the_source() -> None:
    module = run_isolated("iso_t", sources(iso_t="def f():\n    return 1 / 0\n"), {})
    import linecache

    assert linecache.getline(module.f.__code__.co_filename, 2).strip() == "return 1 / 0"
