"""A file that goes to the disk while it is being written."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from tracker.errors import StorageError
from tracker.format import flushed
from tracker.format.files import replacing
from tracker.format.flushed import FlushedFile
from tracker.format.tensors import write_all

LARGE = os.urandom(1 << 20) * 40


def test_every_byte_is_there(tmp_path):
    with FlushedFile(tmp_path / "large", "x") as file:
        write_all(file, memoryview(LARGE))
        file.sync()
    assert (tmp_path / "large").read_bytes() == LARGE


def test_a_large_file_is_flushed_on_its_way(tmp_path, monkeypatch):
    flushes = []
    monkeypatch.setattr(flushed, "_flush", lambda descriptor: flushes.append(descriptor))
    with FlushedFile(tmp_path / "large", "x") as file:
        write_all(file, memoryview(LARGE))
        assert flushes


def test_a_small_file_needs_no_thread(tmp_path):
    threads = threading.active_count()
    with FlushedFile(tmp_path / "small", "x") as file:
        write_all(file, memoryview(LARGE)[:1000])
        file.sync()
        assert threading.active_count() == threads


def test_what_the_disk_refuses_on_the_way_fails_the_whole_file(tmp_path, monkeypatch):
    # The system tells it once, so that the sync at the end would succeed. No disk here is broken.
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(flushed, "_flush", broken)
    with (
        pytest.raises(StorageError, match="Input/output error"),
        replacing(tmp_path / "large", len(LARGE)) as file,
    ):
        write_all(file, memoryview(LARGE))
    assert not list(tmp_path.iterdir())


def test_the_thread_ends_with_the_file(tmp_path):
    threads = threading.active_count()
    with FlushedFile(tmp_path / "large", "x") as file:
        write_all(file, memoryview(LARGE))
    assert threading.active_count() == threads
