"""MLflow is asked who somebody is and what they may read; its answer holds for seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tracker.errors import NotAuthenticatedError, RecordUnreachableError, TrackerError
from tracker.server.viewer import Look, Viewer, remembering

ADA = Viewer("ada", frozenset({"1"}))


class Asked:
    """Stands for MLflow: answers as told, and counts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: Callable[[str | None], Viewer] = lambda header: ADA
        self.headers: list[str | None] = []
        self.experiments = frozenset({"1"})
        self.look: Look = remembering(self._answer, lambda: self.experiments, 5.0, lambda: self.now)

    def _answer(self, header: str | None, before: Viewer | None) -> Viewer:
        self.headers.append(header)
        return self.answers(header)

    def refuse(self, error: TrackerError) -> None:
        def raise_it(header: str | None) -> Viewer:
            raise error

        self.answers = raise_it


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_an_answer_holds_for_five_seconds_and_no_longer(asked: Asked) -> None:
    assert asked.look("Basic a") == ADA
    asked.now = 4.9
    asked.look("Basic a")
    assert len(asked.headers) == 1
    asked.now = 5.0
    asked.answers = lambda header: Viewer("ada", frozenset())
    assert asked.look("Basic a").experiments == frozenset()
    assert len(asked.headers) == 2


def test_an_answer_from_before_there_was_an_experiment_holds_no_longer(asked: Asked) -> None:
    asked.look("Basic a")
    asked.experiments |= {"2"}
    asked.answers = lambda header: Viewer("ada", frozenset({"1", "2"}))
    assert asked.look("Basic a").experiments == {"1", "2"}
    asked.experiments = frozenset({"2"})  # fewer than before are no reason to ask
    asked.look("Basic a")
    assert len(asked.headers) == 2


def test_every_header_is_asked_about_for_itself(asked: Asked) -> None:
    asked.answers = lambda header: Viewer(header, frozenset())
    for header in ("Basic a", "Basic b", "", None):
        assert asked.look(header).user == header
    assert asked.headers == ["Basic a", "Basic b", "", None]


def test_that_somebody_is_unknown_is_remembered_too(asked: Asked) -> None:
    asked.refuse(NotAuthenticatedError("who?"))
    for _ in range(2):
        with pytest.raises(NotAuthenticatedError, match=r"who\?"):
            asked.look("Basic a")
    assert len(asked.headers) == 1


def test_that_mlflow_can_t_be_asked_is_not(asked: Asked) -> None:
    asked.refuse(RecordUnreachableError("down"))
    with pytest.raises(RecordUnreachableError, match="down"):
        asked.look("Basic a")
    asked.now = 0.1
    asked.answers = lambda header: ADA
    assert asked.look("Basic a") == ADA


def test_while_mlflow_can_t_be_asked_an_old_answer_does_not_serve(asked: Asked) -> None:
    asked.look("Basic a")
    asked.now = 5.0
    asked.refuse(RecordUnreachableError("down"))
    with pytest.raises(RecordUnreachableError):
        asked.look("Basic a")


def test_those_who_wait_for_one_answer_share_it(asked: Asked) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(header: str | None) -> Viewer:
        begun.set()
        assert go_on.wait(30)
        raise RecordUnreachableError("down")

    asked.answers = answer
    errors: list[TrackerError] = []

    def look() -> None:
        try:
            asked.look("Basic a")
        except TrackerError as error:
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 8
    assert len({id(error) for error in errors}) == 8
    assert len(asked.headers) == 1


def test_no_more_than_a_thousand_are_remembered(asked: Asked) -> None:
    for number in range(1_001):
        asked.look(f"Basic {number}")
    asked.look("Basic 1000")
    assert len(asked.headers) == 1_001
    asked.look("Basic 0")
    assert len(asked.headers) == 1_002
