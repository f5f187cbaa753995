"""The cache stays as small as it may be, and keeps what is in use."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import FormatError, StorageError
from tracker.record import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRACKER_CACHE_SIZE", "300")
    return tmp_path / "cache" / "checkpoints"


def put(name: str, *, used: int, size: int = 100) -> Path:
    """Put a file of a checkpoint of its own into the cache, last used at a time."""
    path = cache.place(f"m-{name}", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_what_was_not_used_for_longest_goes_first(folder: Path) -> None:
    for name, used in {"new": 3, "old": 1, "middle": 2}.items():
        put(name, used=used)
    cache.make_room(150)
    assert left(folder) == {"new"}


def test_nothing_goes_while_there_is_room(folder: Path) -> None:
    put("a", used=1)
    cache.make_room(200)
    assert left(folder) == {"a"}


def test_to_hold_a_file_is_to_use_it(folder: Path) -> None:
    old, new = put("old", used=1), put("new", used=2)
    held = cache.Held()
    assert held.add(old)
    del held
    gc.collect()
    cache.make_room(200)
    assert left(folder) == {"old"}
    assert not new.exists()


def test_what_is_held_stays_until_it_is_let_go(folder: Path) -> None:
    held = cache.Held()
    held.add(put("held", used=1))
    put("free", used=2)
    cache.make_room(300)
    assert left(folder) == {"held"}
    del held
    gc.collect()
    cache.make_room(300)
    assert left(folder) == set()


HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="open files can't be removed there")
def test_what_another_process_holds_stays_until_that_process_ends(folder: Path) -> None:
    path = put("theirs", used=1)
    with subprocess.Popen(
        [sys.executable, "-S", "-c", HOLD, str(path.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        cache.make_room(300)
        assert left(folder) == {"theirs"}
        other.kill()
    cache.make_room(300)
    assert left(folder) == set()


def test_a_file_that_is_not_there_or_not_whole_is_not_held(folder: Path) -> None:
    held = cache.Held()
    assert not held.add(folder / "m-1" / "nothing")
    path = put("short", used=1)
    assert not held.add(path, size=101)
    assert held.add(path, size=100)


def test_what_is_larger_than_the_cache_takes_all_the_room_there_is(folder: Path) -> None:
    put("a", used=1)
    cache.make_room(10**12)
    assert left(folder) == set()


def test_what_is_arriving_counts_and_stays_for_a_day(folder: Path) -> None:
    put("a", used=1)
    with cache.arriving() as directory:
        (directory / "part").write_bytes(bytes(300))
        cache.make_room(0)
        assert left(folder) == set()
        assert (directory / "part").exists()
    assert not directory.exists()


def test_what_a_process_that_died_left_behind_is_swept_after_a_day(folder: Path) -> None:
    left_behind = folder.parent / "arriving" / "left"
    left_behind.mkdir(parents=True)
    (left_behind / "part").write_bytes(b"part")
    yesterday = time.time() - 90_000
    for path in (left_behind / "part", left_behind):
        os.utime(path, (yesterday, yesterday))
    cache.make_room(0)
    assert not left_behind.exists()


@given(
    files=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 400), st.booleans()), max_size=8),
    needed=st.integers(0, 400),
)
@settings(max_examples=30, deadline=None)
def test_the_cache_fits_or_holds_only_what_is_in_use(
    files: list[tuple[int, int, bool]], needed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setenv("TRACKER_CACHE_DIR", directory)
        patch.setenv("TRACKER_CACHE_SIZE", "1KB")
        held, used_at = cache.Held(), {}
        for number, (used, size, hold) in enumerate(files):
            path = put(str(number), used=used, size=size)
            if hold:
                held.add(path)
            else:
                used_at[path] = used
        cache.make_room(needed)
        there = [path for path in cache.folder().rglob("*") if path.is_file()]
        stay, gone = used_at.keys() & {*there}, used_at.keys() - {*there}
        assert not stay or sum(path.stat().st_size for path in there) + needed <= 1000
        assert all(used_at[old] <= used_at[new] for old in gone for new in stay)
        assert len(there) - len(stay) == sum(hold for *_, hold in files)


def test_without_a_setting_it_is_20_gb_or_a_tenth_of_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TRACKER_CACHE_SIZE")
    assert 0 < cache.limit() <= 20_000_000_000


@pytest.mark.parametrize(("checkpoint", "file"), [("../m-1", "a"), ("m-1", "../a"), ("", "a")])
def test_no_name_leads_out_of_the_cache(checkpoint: str, file: str) -> None:
    with pytest.raises(FormatError):
        cache.place(checkpoint, file)


def test_a_cache_that_can_not_be_written_is_named(folder: Path) -> None:
    folder.parent.write_text("in the way")
    with pytest.raises(StorageError, match=r"The cache .* can't be used.*TRACKER_CACHE_DIR"):
        cache.make_room(0)
