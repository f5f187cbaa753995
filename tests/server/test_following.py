"""The catalog follows MLflow: requests that wait at the same time wait for the same update."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tracker.errors import RecordUnreachableError, TrackerError
from tracker.server.following import Following


class Updates:
    """Updates that are counted, and that end when they are told to."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.count += 1
        self.begun.release()
        assert self.may_end.acquire(timeout=30)
        if self.error is not None:
            raise self.error


@pytest.fixture
def updates() -> Updates:
    return Updates()


@pytest.fixture
def following(updates: Updates) -> Iterator[Following]:
    """One whose first update, which begins by itself, has ended."""
    found = Following(updates, lambda: None, seconds_to_wait=30)
    found.start()
    assert updates.begun.acquire(timeout=30)
    updates.may_end.release()
    yield found
    found.stop()
    updates.may_end.release(100)


def waiting(following: Following, count: int, caught: list[TrackerError]) -> list[threading.Thread]:
    def wait() -> None:
        try:
            following.catch_up()
        except TrackerError as error:
            caught.append(error)

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_who_comes_during_an_update_waits_for_the_next_with_all_others(
    following: Following, updates: Updates
) -> None:
    (first,) = waiting(following, 1, [])
    assert updates.begun.acquire(timeout=30)  # of the first one's own
    others = waiting(following, 32, [])
    while following._wanted <= following._begun:
        assert first.is_alive()
    updates.may_end.release(2)
    for thread in (first, *others):
        thread.join(30)
        assert not thread.is_alive()
    assert updates.count <= 4  # the first of all, the first one's, the others', and one that raced


def test_a_failed_update_is_told_to_each_who_waited_and_the_next_may_succeed(
    following: Following, updates: Updates
) -> None:
    updates.error = RecordUnreachableError("down")
    updates.may_end.release(100)
    caught: list[TrackerError] = []
    for thread in waiting(following, 4, caught):
        thread.join(30)
    assert [str(error) for error in caught] == ["down"] * 4
    updates.error = None
    following.catch_up()


def test_an_update_that_breaks_does_not_end_the_following(
    following: Following, updates: Updates
) -> None:
    updates.error = ZeroDivisionError()
    updates.may_end.release(100)
    with pytest.raises(TrackerError, match="ZeroDivisionError"):
        following.catch_up()
    updates.error = None
    following.catch_up()


def test_nobody_waits_for_ever(updates: Updates) -> None:
    slow = Following(updates, lambda: None, seconds_to_wait=0.05)
    slow.start()
    with pytest.raises(RecordUnreachableError, match="Ask again"):
        slow.catch_up()
    slow.stop()
    updates.may_end.release(10)


def test_the_catalog_is_made_again_from_time_to_time() -> None:
    done = threading.Semaphore(0)
    following = Following(
        lambda: None, lambda: done.release() and None, seconds_between_reindexes=0.01
    )
    following.start()
    assert done.acquire(timeout=30)
    assert done.acquire(timeout=30)
    following.stop()


def test_whoever_runs_it_learns_once_that_mlflow_is_away_and_back(
    following: Following, updates: Updates, caplog: pytest.LogCaptureFixture
) -> None:
    updates.may_end.release(100)
    updates.error = RecordUnreachableError("down")
    for _ in range(3):
        with pytest.raises(RecordUnreachableError):
            following.catch_up()
    updates.error = None
    following.catch_up()
    told = [each.getMessage() for each in caplog.records]
    assert ["down" in each for each in told] == [True, False]
    assert "again" in told[1]
