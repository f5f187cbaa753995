from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tracker.errors import CorruptCheckpointError, NotFoundError, StorageError
from tracker.format.files import make_directory, opened, replacing, sync_directory
from tracker.format.layout import REMOVED


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "x"
    with replacing(path, 5) as file:
        file.write(b"hello")
        assert not path.exists()
    assert path.read_bytes() == b"hello"
    assert os.listdir(tmp_path) == ["x"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path, 3) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_refusal_names_the_path_the_reason_and_the_bytes(tmp_path):
    with (
        pytest.raises(
            StorageError, match=r"nowhere/x: .*No such file.* needs 12345 bytes"
        ) as error,
        replacing(tmp_path / "nowhere" / "x", 12345),
    ):
        pass
    assert isinstance(error.value.__cause__, OSError)


def test_a_file_that_is_missing_means_a_damaged_checkpoint(tmp_path):
    with pytest.raises(CorruptCheckpointError, match="is missing"), opened(tmp_path / "x"):
        pass


@pytest.mark.parametrize("name", ["model.safetensors", "source/net.py", "gone/model.safetensors"])
def test_a_file_that_is_missing_because_the_checkpoint_was_deleted_says_so(tmp_path, name):
    (tmp_path / "source").mkdir()
    (tmp_path / REMOVED).write_text("{}")
    with pytest.raises(NotFoundError, match="the checkpoint was deleted"), opened(tmp_path / name):
        pass


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(CorruptCheckpointError), opened(tmp_path / "x"):
        pass


def test_the_directories_that_were_made_are_told_outermost_first(tmp_path):
    made = list(make_directory(tmp_path / "a" / "b"))
    assert made == [tmp_path / "a", tmp_path / "a" / "b"]
    assert list(make_directory(tmp_path / "a" / "b")) == []


def test_a_directory_in_place_of_which_there_is_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError):
        list(make_directory(tmp_path / "a" / "b"))


def test_a_directory_that_is_not_there_can_not_be_synced(tmp_path):
    sync_directory(tmp_path)
    with pytest.raises(StorageError):
        sync_directory(tmp_path / "x")


def test_what_is_said_to_be_free_is_what_is_free_without_the_part_that_was_written(
    tmp_path, monkeypatch
):
    left: list[list[str]] = []

    def look(directory: Path) -> shutil._ntuple_diskusage:
        left.append(os.listdir(directory))
        return usage(directory)

    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", look)

    def fill_the_disk() -> None:
        with replacing(tmp_path / "x", 5) as file:
            file.write(b"he")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"the disk is full.* needs 5 bytes; \d+ are free"):
        fill_the_disk()
    assert left == [[]]
