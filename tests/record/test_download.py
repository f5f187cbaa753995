"""Files come into the cache a few at a time, each once, each whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tenacity import wait_none

from tracker.errors import (
    CorruptCheckpointError,
    NotFoundError,
    RecordUnreachableError,
    StorageError,
)
from tracker.record import cache, download, mlflow_bar, neighbours
from tracker.record.download import Downloads, Wanted, bring

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def store(workplace: Path) -> Path:
    """A store with three files."""
    folder = workplace / "store"
    (folder / "source").mkdir(parents=True)
    for name in ("a", "b", "source/net.py"):
        (folder / name).write_text(f"content of {name}")
    return folder


def wanted(store: Path, name: str, size: int | None = None) -> Wanted:
    return Wanted("m-1", name, lambda: [str(store)], size)


def on_each_download(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], object]) -> list[str]:
    """Call ``act`` with each name before MLflow downloads it; return the names, as they come."""
    names: list[str] = []
    original = neighbours.download_file

    def watched(uri: str, name: str, directory: Path) -> Path:
        names.append(name)
        act(name)
        return original(uri, name, directory)

    monkeypatch.setattr(neighbours, "download_file", watched)
    return names


def nothing(name: str) -> None:
    pass


def test_every_file_arrives_under_its_name_and_is_counted(store: Path) -> None:
    names = ("a", "b", "source/net.py")
    files = [wanted(store, name, len(f"content of {name}")) for name in names]
    downloads = Downloads(files, cache.Held())
    downloads.finish()
    assert downloads.wait(0)
    assert downloads.arrived() == downloads.size == sum(each.size or 0 for each in files)
    assert [each.path.read_text() for each in files] == [f"content of {name}" for name in names]


def test_several_come_at_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=10)
    on_each_download(monkeypatch, lambda name: together.wait())
    Downloads([wanted(store, "a"), wanted(store, "b")], cache.Held()).finish()


def test_what_arrives_is_counted_before_it_is_whole(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    started = threading.Event()

    def half(uri: str, name: str, directory: Path) -> Path:
        started.wait(10)
        path = directory / name
        path.write_bytes(bytes(50_000))
        os.sync()
        seen.append(downloads.arrived())
        path.write_bytes(bytes(100_000))
        return path

    monkeypatch.setattr(neighbours, "download_file", half)
    downloads = Downloads([wanted(store, "a", 100_000)], cache.Held())
    started.set()
    downloads.finish()
    assert seen == [50_000]


def test_two_that_want_the_same_file_bring_it_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = on_each_download(monkeypatch, nothing)
    threads = [
        threading.Thread(target=bring, args=(wanted(store, "a"), cache.Held())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["a"]


def test_those_that_arrived_stay_if_another_does_not(store: Path) -> None:
    files = [wanted(store, "a"), wanted(store, "lost")]
    with pytest.raises(NotFoundError, match="file lost of checkpoint m-1 is gone"):
        Downloads(files, cache.Held()).finish()
    assert files[0].path.read_text() == "content of a"
    assert not files[1].path.exists()
    assert not list((cache.folder().parent / "arriving").iterdir())


def test_a_second_place_serves_where_the_first_has_nothing(store: Path, workplace: Path) -> None:
    each = Wanted("m-1", "a", lambda: [str(workplace / "nowhere"), str(store)])
    bring(each, cache.Held())
    assert each.path.read_text() == "content of a"


def test_where_nobody_answers_it_is_tried_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_twice(name: str) -> None:
        if len(names) < 3:
            raise RecordUnreachableError("nobody answers")

    monkeypatch.setattr(download._downloaded.retry, "wait", wait_none())
    names = on_each_download(monkeypatch, fail_twice)
    bring(wanted(store, "a"), cache.Held())
    assert names == ["a", "a", "a"]


def test_where_nobody_ever_answers_it_is_an_error(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise RecordUnreachableError("nobody answers")

    monkeypatch.setattr(download._downloaded.retry, "wait", wait_none())
    on_each_download(monkeypatch, fail)
    with pytest.raises(RecordUnreachableError):
        Downloads([wanted(store, "a")], cache.Held()).finish()


def test_what_arrived_in_another_size_never_enters_the_cache(store: Path) -> None:
    each = wanted(store, "a", 5)
    with pytest.raises(CorruptCheckpointError, match="12 bytes arrived, but 5 were written"):
        bring(each, cache.Held())
    assert not each.path.exists()


def test_what_is_brought_is_held(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_CACHE_SIZE", "0")
    held = cache.Held()
    bring(wanted(store, "a"), held)
    cache.make_room(0)
    assert wanted(store, "a").path.exists()


def test_a_cache_that_can_not_be_written_is_a_storage_error(store: Path, workplace: Path) -> None:
    (workplace / "cache").write_text("in the way")
    with pytest.raises(StorageError, match="can't be used"):
        bring(wanted(store, "a"), cache.Held())


@pytest.mark.parametrize("given", [None, "true", "false"])
def test_mlflows_own_bar_is_hidden_unless_the_user_said_something(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    if given is not None:
        monkeypatch.setenv(name, given)
    with mlflow_bar.hidden(), mlflow_bar.hidden():
        assert os.environ[name] == (given or "false")
    assert os.environ.get(name) == given
