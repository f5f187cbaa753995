"""The spool: what waits in it, for whom, and that it is nobody's twice."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tracker.errors import FormatError, NewerFormatError, StorageError
from tracker.record.sessions import Session
from tracker.saving import spool
from tracker.saving.spool import Delivery

SESSION = Session("5e55", None, "digits", 17, {"mlflow.user": "ada"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def put(name: str = "epoch-1", *, created_at: int = 1, run_id: str | None = "0f3c") -> Delivery:
    """Put a delivery with one file into the spool."""
    directory = spool.new_directory()
    session = None if run_id else SESSION
    delivery = Delivery(directory, name, "http://mlflow", run_id, session, created_at)
    delivery.checkpoint.mkdir()
    (delivery.checkpoint / "checkpoint.json").write_text("{}")
    spool.write(delivery)
    return delivery


def test_nothing_waits_where_there_is_no_spool() -> None:
    assert spool.waiting() == []
    spool.sweep()


@pytest.mark.parametrize("run_id", ["0f3c", None])
def test_what_waits_is_read_as_it_was_written(run_id: str | None) -> None:
    delivery = put(run_id=run_id)
    tried = replace(delivery, attempts=3, error="no “answer”", refused=True)
    spool.write(tried)
    assert spool.waiting() == [tried]
    assert spool.read(delivery.directory) == tried


def test_the_oldest_comes_first() -> None:
    third, first, second = (put(created_at=time) for time in (3, 1, 2))
    assert spool.waiting() == [first, second, third]


def test_a_directory_that_was_not_finished_does_not_wait() -> None:
    (spool.new_directory() / "checkpoint").mkdir()
    assert spool.waiting() == []


def test_others_can_not_look_into_it(home: Path) -> None:
    delivery = put()
    for directory in (home, delivery.directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda known: known | {"version": 2}, NewerFormatError, "install a newer one"),
        (lambda known: known | {"attempts": "3"}, FormatError, "attempts must be a whole number"),
        (lambda known: known | {"session": {"id": 1}}, FormatError, r"session\.id must be text"),
        (lambda known: {"version": 1}, FormatError, "name is missing"),
    ],
)
def test_what_can_not_be_read_says_why_and_does_not_hide_the_others(
    change: object, error: type[Exception], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = put(), put()
    file = bad.directory / spool.DELIVERY
    file.write_text(json.dumps(change(json.loads(file.read_text()))))  # type: ignore[operator]
    with pytest.raises(error, match=message):
        spool.read(bad.directory)
    assert spool.waiting() == [good]
    assert str(bad.directory) in caplog.text


def test_a_torn_file_is_no_delivery_but_stays(caplog: pytest.LogCaptureFixture) -> None:
    delivery = put()
    (delivery.directory / spool.DELIVERY).write_text('{"version": 1, "na')
    assert spool.waiting() == []
    assert "is not JSON" in caplog.text
    spool.sweep()
    assert delivery.checkpoint.exists()


def test_a_spool_that_can_not_be_made_is_a_storage_error(home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(StorageError, match="spool"):
        spool.new_directory()
    with pytest.raises(StorageError, match="spool"):
        spool.waiting()


def test_only_one_at_a_time_delivers_it() -> None:
    delivery, other = put(), put()
    with spool.locked(delivery) as mine:
        assert mine
        with spool.locked(delivery) as too:
            assert not too
        with spool.locked(other) as another:
            assert another
    with spool.locked(delivery) as again:
        assert again


HOLD = """
import sys, time
from pathlib import Path
from tracker.saving import spool
delivery = spool.read(Path(sys.argv[1]))
print("begun", flush=True)
with spool.locked(delivery, wait=True):
    print(spool.read(delivery.directory) is not None, flush=True)
    time.sleep(int(sys.argv[2]))
"""


def hold(delivery: Delivery, seconds: int) -> subprocess.Popen[str]:
    """Start a process that waits for the lock, then holds it."""
    command = [sys.executable, "-c", HOLD, str(delivery.directory), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_the_lock_of_a_process_that_dies_is_free() -> None:
    delivery = put()
    holder = hold(delivery, seconds=60)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with spool.locked(delivery) as mine:
        assert not mine
    holder.kill()
    with spool.locked(delivery, wait=True) as mine:
        assert mine
    holder.communicate()


def test_who_comes_too_late_finds_it_gone_and_leaves_nothing(home: Path) -> None:
    delivery = put()
    with spool.locked(delivery):
        spool.forget(delivery)
    assert spool.waiting() == []
    with spool.locked(delivery) as mine:
        assert mine
        assert spool.read(delivery.directory) is None
    assert list(home.iterdir()) == []


def test_who_waits_for_the_lock_of_what_is_delivered_finds_it_gone() -> None:
    delivery = put()
    with spool.locked(delivery):
        waiting = hold(delivery, seconds=0)
        spool.forget(delivery)
    printed, _ = waiting.communicate(timeout=30)
    assert printed == "False\n"


def test_what_dead_processes_left_is_swept_after_a_day(home: Path) -> None:
    delivery, unfinished, young = put(), spool.new_directory(), spool.new_directory()
    unfinished.with_suffix(".lock").touch()
    (unfinished / "checkpoint").mkdir()
    long_ago = time.time() - 25 * 60 * 60
    for directory in (delivery.directory, unfinished):
        for path in (*directory.rglob("*"), directory):
            os.utime(path, (long_ago, long_ago))
    spool.sweep()
    assert spool.waiting() == [delivery]
    assert sorted(home.iterdir()) == sorted([delivery.directory, young])
