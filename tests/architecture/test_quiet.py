"""What a constructor does beside constructing is contained."""

from __future__ import annotations

import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tracker.architecture.quiet import NoisyConstructorError, quietly


def test_random_generators_and_output_are_as_they_were(capsys: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with quietly():
        print("hello")
        torch.rand(1), random.random(), np.random.rand()
    assert capsys.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


NOISES: dict[str, Callable[[Path], object]] = {
    "open": lambda folder: (folder / "new").write_text("x"),
    "os.open": lambda folder: os.open(folder / "new", os.O_CREAT | os.O_WRONLY),
    "mkdir": lambda folder: (folder / "new").mkdir(),
    "remove": lambda folder: (folder / "old").unlink(),
    "rename": lambda folder: (folder / "old").rename(folder / "new"),
    "program": lambda folder: subprocess.run(["touch", folder / "new"], check=True),
    "shell": lambda folder: os.system(f"touch {folder / 'new'}"),
    "pickle": lambda folder: pickle.loads(pickle.dumps(folder)),
    "host": lambda folder: socket.getaddrinfo("localhost", 1),
    "socket": lambda folder: socket.socket().connect(("127.0.0.1", 9)),
}


@pytest.mark.parametrize("name", NOISES)
def test_what_reaches_out_of_the_process_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with quietly() as tried, pytest.raises(NoisyConstructorError, match="constructor may not"):
        NOISES[name](tmp_path)
    assert len(tried) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_files_can_be_read_and_modules_imported(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "quiet_import_example.py").write_text("value = 3")
    monkeypatch.syspath_prepend(tmp_path)
    with quietly() as tried:
        import quiet_import_example

        assert (tmp_path / "quiet_import_example.py").read_text() == "value = 3"
    assert tried == []
    assert quiet_import_example.value == 3
    del sys.modules["quiet_import_example"]


def test_temporary_files_are_nobodys(tmp_path: Path) -> None:
    with quietly() as tried:
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("x")
        with tempfile.TemporaryDirectory():
            pass
    assert tried == []
    with quietly(), pytest.raises(NoisyConstructorError):
        tempfile.mkstemp(dir="/")


def test_afterwards_and_elsewhere_nothing_is_refused(tmp_path: Path) -> None:
    with quietly():
        thread = threading.Thread(target=(tmp_path / "other").touch)
        thread.start()
        thread.join()
    (tmp_path / "after").touch()
    with quietly(refuse=False):
        (tmp_path / "loud").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after", "loud", "other"]
