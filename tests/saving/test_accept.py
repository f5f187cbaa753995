"""What `log_checkpoint` does before it returns, and what it leaves to the background."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from torch import nn

import tracker
from tests.models import Net
from tests.training import log
from tracker.errors import TrackerWarning, UnstorableError
from tracker.record import flavor_file
from tracker.saving import host_copy, tickets
from tracker.saving import writer as writer_room
from tracker.saving.writer import Writer, writer

pytestmark = pytest.mark.usefixtures("workplace")


class Gate(logging.Handler):
    """Stops the background at a step until the test lets it go on."""

    def __init__(self, step: str) -> None:
        super().__init__(logging.DEBUG)
        self.step = step
        self.reached = threading.Event()
        self.opened = threading.Event()

    def createLock(self) -> None:
        self.lock = None  # other threads may log meanwhile

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self.step):
            self.reached.set()
            self.opened.wait(30)


@pytest.fixture
def gate(caplog: pytest.LogCaptureFixture) -> Iterator[Gate]:
    """The background stops before it writes the first file of a checkpoint."""
    made = Gate("created")
    caplog.set_level(logging.DEBUG, logger="tracker")
    logging.getLogger("tracker.saving").addHandler(made)
    yield made
    made.opened.set()
    logging.getLogger("tracker.saving").removeHandler(made)


@pytest.fixture
def refused() -> Iterator[Callable[[], None]]:
    """Nothing can be saved until it is called."""

    def refuse(*_: object, **__: object) -> bytes:
        raise UnstorableError("weight", "has no place")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flavor_file, "flavor_files", refuse)
        yield patch.undo


def test_it_returns_while_the_checkpoint_is_being_saved(gate: Gate) -> None:
    pending = tracker.log_checkpoint(Net(hidden=4), epoch=1)
    assert gate.reached.wait(30)
    assert not pending.done()
    gate.opened.set()
    assert pending.result().epoch == 1


def test_the_steps_of_a_save_are_announced_in_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="tracker")
    log(nn.Linear(2, 1), epoch=1, metrics={"loss": 1.0})
    steps: dict[str, list[str]] = {}
    for record in caplog.records:
        if record.levelno == logging.DEBUG:
            step, _, what = record.getMessage().partition(": ")
            name = Path(what).name if record.name == "tracker.format" else ""
            steps.setdefault(record.threadName or "", []).append(f"{step} {name}".strip())
    assert steps.pop("MainThread") == ["copied", "accepted"]
    (background,) = [names for thread, names in steps.items() if thread == "tracker"]
    source = [name for name in background if name.endswith(".py")]
    assert [name for name in background if name not in source] == [
        "created",
        "on the disk model.safetensors",
        "named model.safetensors",
        "on the disk MLmodel",
        "named MLmodel",
        "on the disk checkpoint.json",
        "named checkpoint.json",
        "written",
        "params logged",
        "metrics logged",
        "ready",
        "catalogued",
    ]


def test_an_earlier_failure_is_raised_by_the_next_call_whose_own_checkpoint_is_saved(
    refused: Callable[[], None],
) -> None:
    first = tracker.log_checkpoint(Net(hidden=4), epoch=1)
    tickets.wait()
    refused()
    with pytest.raises(UnstorableError, match="has no place") as caught:
        tracker.log_checkpoint(Net(hidden=4), epoch=2)
    assert "This is about the checkpoint epoch-1" in "".join(caught.value.__notes__)
    assert isinstance(first.exception(), UnstorableError)
    assert [each.epoch for each in tracker.search_checkpoints()] == [2]
    tracker.flush()


def test_a_query_is_not_disturbed_by_the_failure_of_a_checkpoint(
    refused: Callable[[], None],
) -> None:
    pending = tracker.log_checkpoint(Net(hidden=4), epoch=1)
    assert tracker.search_checkpoints() == []
    assert isinstance(pending.exception(), UnstorableError)


def test_who_waits_gets_the_failure_at_once(refused: Callable[[], None]) -> None:
    with pytest.raises(UnstorableError, match="has no place") as caught:
        tracker.log_checkpoint(Net(hidden=4), epoch=1, wait=True)
    assert "an earlier call" not in "".join(caught.value.__notes__)
    tracker.flush()


def test_a_model_that_can_not_be_rebuilt_is_warned_of_at_once(gate: Gate) -> None:
    model = Net(hidden=4)
    model.act = lambda x: x
    with pytest.warns(TrackerWarning, match="loading them will need a model instance") as caught:
        pending = tracker.log_checkpoint(model, epoch=1)
    assert caught[0].filename == __file__
    assert not pending.done()


@pytest.mark.parametrize("moment", ["copy", "issue", "submit"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_ctrl_c_in_the_middle_leaves_nothing_behind_or_everything(
    moment: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(epoch=0)
    place: Any = {"copy": host_copy, "issue": tickets, "submit": Writer}[moment]
    function = getattr(place, moment)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if late:
            function(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracker.log_checkpoint(Net(hidden=4), epoch=1)
    tracker.flush(timeout=30)
    log(epoch=2)
    saved = {each.epoch for each in tracker.search_checkpoints()}
    assert saved in ([{0, 2}] if (moment, late) != ("submit", True) else [{0, 2}, {0, 1, 2}])
    assert writer()._in_flight == {}


def test_past_what_may_be_in_flight_the_call_waits(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_room, "MAX_CHECKPOINTS", 1)
    first = tracker.log_checkpoint(Net(hidden=4), epoch=1)
    call = threading.Thread(
        target=lambda: tracker.log_checkpoint(Net(hidden=4), epoch=2, run_id=run_id)
    )
    active = mlflow.active_run()
    assert active is not None
    run_id = active.info.run_id
    call.start()
    call.join(0.5)
    assert call.is_alive()
    gate.opened.set()
    call.join(30)
    assert first.done()
    assert [each.epoch for each in tracker.search_checkpoints()] == [2, 1]


def test_memory_is_used_again_by_the_next_checkpoint() -> None:
    with mlflow.start_run():
        for epoch in range(3):
            log(Net(hidden=64), epoch=epoch)
        size = host_copy.pool().size
        log(Net(hidden=64), epoch=3)
        assert host_copy.pool().size == size > 0
    assert host_copy.pool().size == 0


def test_what_can_not_be_stored_is_refused_before_anything_is_handed_over() -> None:
    model = nn.Module()
    model.register_buffer("b", _nested())
    with pytest.raises(UnstorableError, match=r"^b: "):
        tracker.log_checkpoint(model, epoch=1)
    assert mlflow.active_run() is None
    tracker.flush(timeout=0)


def _nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
