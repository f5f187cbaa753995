"""Files beside the model: which names and contents `log_checkpoint` takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import InvalidArgumentError
from tracker.format import layout
from tracker.saving import attached
from tracker.saving.attached import check_files


def test_files_are_bytes_or_paths_to_read_them_from(tmp_path: Path) -> None:
    (tmp_path / "vocab").write_bytes(b"a b")
    files = check_files({"vocab/en.txt": tmp_path / "vocab", "classes.json": bytearray(b"[]")})
    assert files == {"files/vocab/en.txt": b"a b", "files/classes.json": b"[]"}


def test_no_files_are_no_files() -> None:
    assert check_files(None) == check_files({}) == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a//b", "a\\b", "", "c:x", "a\0", "."])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a file name of a checkpoint"):
        check_files({name: b""})


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ([b""], "dict by name, not list"),
        ({3: b""}, "the name 3"),
        ({"a": "text"}, r"text\.encode"),
        ({"a": None}, "NoneType"),
        ({"A": b"", "a": b""}, "'a' twice"),
        ({"a": Path("nowhere")}, "nowhere can't be read: No such file"),
        ({"a": Path()}, "can't be read"),
    ],
)
def test_what_is_no_file_is_refused(files: Any, what: str) -> None:
    with pytest.raises(InvalidArgumentError, match=what):
        check_files(files)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached, "MAX_PLAIN_FILE", 10)
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, layout.MAX_PLAIN_FILE * 100)
    for content in (path, bytes(11)):
        with pytest.raises(InvalidArgumentError, match="Tensors belong into state="):
            check_files({"large": content})
