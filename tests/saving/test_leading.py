"""Rank 0 leads a checkpoint that others write with it; here each is a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from torch import nn

from tracker.distributed.agreement import offer
from tracker.distributed.board import Board
from tracker.errors import DistributedError, RecordError, StorageError
from tracker.format import Content, Placed, Shard, open_checkpoint, write_checkpoint
from tracker.record.boundary import check_reachable
from tracker.saving.following import Part, follow
from tracker.saving.lead_ticket import LeadTicket
from tracker.saving.leading import Lead, by_group
from tracker.saving.messages import SEND, alive_key, sent_key
from tracker.saving.snapshot import Snapshot, take
from tracker.saving.ticket import Ticket
from tracker.saving.turn import FAILED, Turn
from tracker.types import Architecture, CheckpointRecord

NOWHERE = "http://127.0.0.1:9"
WEIGHT = torch.arange(6.0)
CONTENT = Content("epoch-1", "0f3c", 0, Architecture("none", "net:Net", "Net()"))
RECORD = CheckpointRecord(
    id="m-1",
    run_id="0f3c",
    experiment_id="0",
    experiment="Default",
    name="epoch-1",
    epoch=1,
    step=None,
    metrics={"loss": float("nan")},
    params={},
    tags={},
    model_class="net:Net",
    model_text="Net()",
    rebuild="none",
    size=1,
    created_at=0,
    artifact_uri="file:///m-1",
    manifest_digest="0" * 64,
)


def shard(rank: int) -> Shard:
    return Shard("spread", (6,), ((3 * rank,), (3,)), WEIGHT[3 * rank : 3 * rank + 3])


def snapshot() -> Snapshot:
    plain = take(nn.Linear(1, 1), optimizer=None, scheduler=None, state=None)
    return replace(plain, boxes=(("model", shard(0)),))


class Training:
    """Two processes that have begun a checkpoint."""

    def __init__(self, seconds: float = 20) -> None:
        self._store = distributed.HashStore()
        self._seconds = seconds
        self.snapshot = snapshot()
        turn, shards = self.turn(0), by_group(self.snapshot)
        self.lead = Lead(turn, offer("epoch-1", shards), {})
        self.ticket = LeadTicket("epoch-1", "0f3c", 1, self.lead)
        self.other = Ticket("epoch-1", "of rank 0", 1)

    def turn(self, rank: int) -> Turn:
        return Turn(Board(self._store, "tracker"), rank, 2, self._seconds)

    def follow(self) -> object:
        held = {"model": [shard(1)]}
        own = {"training": {"rank-1.seed": torch.ones(1)}}
        training = {"state": {"seed": {"value": {"$tensor": "rank-1.seed"}}}}
        return follow(
            Part(self.turn(1), offer("epoch-1", held), held, own, training, NOWHERE), self.other
        )

    def write(self, directory: Path) -> None:
        whole = replace(CONTENT, training={"state": {"seed": {"value": 7}}})
        write_checkpoint(directory, self.lead.completed(directory, whole, self.snapshot))


@pytest.fixture
def in_thread() -> Callable[[Callable[[], object]], Future[object]]:
    return ThreadPoolExecutor(1).submit


def test_all_write_and_hear_what_became_of_it(tmp_path, in_thread):
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    training.write(tmp_path / "place")
    training.ticket.succeed(RECORD)
    heard = following.result(20)
    assert (heard.id, heard.epoch) == ("m-1", 1)
    assert heard.metrics["loss"] != heard.metrics["loss"]
    stored = open_checkpoint(tmp_path / "place")
    assert torch.equal(stored.tensor("model", "spread"), WEIGHT)
    assert stored.manifest.training == {
        "state": {"seed": {"value": 7}},
        "ranks": {"1": {"state": {"seed": {"value": {"$tensor": "rank-1.seed"}}}}},
    }


def test_if_the_place_fails_all_write_to_a_second_one(tmp_path, in_thread):
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    training.write(tmp_path / "refused by MLflow")
    training.write(tmp_path / "spool")
    training.ticket.spooled = tmp_path / "spool"
    training.ticket.wait_in_spool()
    watch = following.result(20)
    watch()
    training.ticket.settle()
    training.other.wait_until_durable()
    assert training.other.spooled == tmp_path / "spool"
    training.ticket.fail(RecordError("MLflow says no."))
    with pytest.raises(RecordError, match="MLflow says no"):
        training.other.result(20)
    open_checkpoint(tmp_path / "spool").verify()


def test_a_disk_that_refuses_one_process_fails_all_and_leaves_nothing(tmp_path, in_thread):
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    place = tmp_path / "place"
    (place / "model-rank-00001.safetensors").mkdir(parents=True)
    with pytest.raises(DistributedError, match=r"Rank 1 failed: StorageError: .*model-rank-00001"):
        training.write(place)
    assert not place.exists()
    training.ticket.fail(StorageError("The disk refused."))
    with pytest.raises(StorageError, match="The disk refused"):
        following.result(20)


def test_a_process_that_does_not_come_is_named_once_and_not_waited_for_again(tmp_path):
    training = Training(seconds=0.1)
    with pytest.raises(DistributedError, match=r"not called by rank 1 of 2 within 0.1 seconds"):
        training.lead.gather(training.snapshot)
    with pytest.raises(DistributedError, match="rank 1"):
        training.write(tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


def test_a_process_that_failed_before_is_not_waited_for():
    training = Training()
    training.turn(1).fail(ValueError("no such metric"))
    with pytest.raises(DistributedError, match="Rank 1 failed: ValueError: no such metric"):
        training.lead.gather(training.snapshot)
    assert training.turn(0).board.has([FAILED])


def test_a_fork_tells_the_others_nothing():
    training = Training()
    training.ticket.belongs_to_parent()
    assert training.ticket.done()
    assert not training.turn(1).board.has(["outcome"])


def test_a_follower_gives_up_when_rank_0_says_nothing(monkeypatch):
    monkeypatch.setattr("tracker.saving.following._SECONDS_MORE", 0.1)
    with pytest.raises(DistributedError, match=r"Rank 0.* did not answer within 0.1 seconds"):
        Training(seconds=0.1).follow()


def test_a_process_that_does_not_see_the_folder_says_so(tmp_path, in_thread, monkeypatch):
    monkeypatch.setattr("tracker.saving.following._SECONDS_TO_BE_SEEN", 0.1)
    monkeypatch.setattr(Path, "is_dir", lambda self: threading.current_thread().name == "main")
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    with pytest.raises(DistributedError, match="is not on this machine"):
        training.write(tmp_path / "place")
    training.ticket.fail(StorageError("Nobody saw it."))
    with pytest.raises(StorageError):
        following.result(20)


@pytest.fixture
def other_machine(tmp_path, monkeypatch):
    """Let the other process not see rank 0's folder; return the spool of its machine."""
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "other"))
    monkeypatch.setattr("tracker.saving.following._SECONDS_TO_BE_SEEN", 0.1)
    seen = Path.is_dir

    def is_dir(self):
        return seen(self) and "place" not in str(self)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    monkeypatch.setattr("tracker.saving.apart.check_reachable", lambda uri: None)
    return tmp_path / "other"


def test_a_process_on_another_machine_that_does_not_reach_mlflow_fails_all(
    tmp_path, in_thread, other_machine, monkeypatch
):
    monkeypatch.setattr("tracker.saving.apart.check_reachable", check_reachable)
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    training.lead.completed(tmp_path / "place", CONTENT, training.snapshot, may_send=True)
    training.lead.turn.board.post(SEND, "m-1")
    with pytest.raises(DistributedError, match="Rank 1 failed: RecordUnreachableError") as no:
        training.lead.wait_for_apart()
    training.ticket.fail(no.value)
    with pytest.raises(DistributedError, match="could not be reached"):
        following.result(20)


def test_a_process_on_another_machine_writes_there_and_is_told_to_send(
    tmp_path, in_thread, other_machine, monkeypatch
):
    sent: list[object] = []

    def upload(client, model_id, directory, **_):
        sent.extend([model_id, *sorted(path.name for path in directory.iterdir())])

    monkeypatch.setattr("tracker.record.transfer.upload", upload)
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    directory = tmp_path / "place"
    whole = training.lead.completed(directory, CONTENT, training.snapshot, may_send=True)
    assert set(whole.placed.files) >= {"model-rank-00000.safetensors"}
    assert [path.name for path in directory.iterdir()] == ["model-rank-00000.safetensors"]
    assert set(training.lead.apart) == {1}
    training.lead.turn.board.post(SEND, "m-1")
    training.lead.wait_for_apart()
    assert sent == ["m-1", "model-rank-00001.safetensors", "training-rank-00001.safetensors"]
    assert len(list(other_machine.iterdir())) == 1
    training.ticket.succeed(RECORD)
    assert following.result(20).id == "m-1"
    assert list(other_machine.iterdir()) == []


def test_a_process_on_another_machine_that_can_not_send_fails_all(
    tmp_path, in_thread, other_machine, monkeypatch
):
    def upload(client, model_id, directory, **_):
        raise RecordError("MLflow says no.")

    monkeypatch.setattr("tracker.record.transfer.upload", upload)
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    training.lead.completed(tmp_path / "place", CONTENT, training.snapshot, may_send=True)
    training.lead.turn.board.post(SEND, "m-1")
    with pytest.raises(DistributedError, match="Rank 1 failed: RecordError: MLflow says no") as no:
        training.lead.wait_for_apart()
    training.ticket.fail(no.value)
    with pytest.raises(DistributedError, match="MLflow says no"):
        following.result(20)
    assert list(other_machine.iterdir()) == []


def test_who_sends_is_waited_for_as_long_as_it_is_seen_alive(in_thread):
    training = Training(seconds=0.4)
    training.lead.apart = {1: Placed()}
    board = training.turn(1).board

    def send():
        with board.beating(alive_key(1), 0.05):
            time.sleep(1.2)
        board.post(sent_key(1), None)

    sending = in_thread(send)
    training.lead.wait_for_apart()
    sending.result(20)
    board.clear([sent_key(1)])
    with pytest.raises(DistributedError, match=r"rank 1 of 2.*not seen any more for 0.4 seconds"):
        training.lead.wait_for_apart()


def test_what_stays_in_the_spool_as_was_wished_is_no_failure(tmp_path, in_thread):
    training = Training()
    following = in_thread(training.follow)
    training.lead.gather(training.snapshot)
    training.write(tmp_path / "spool")
    # All at once, so that the other process may see the end first.
    training.ticket.stay(RecordError("It is kept: TRACKER_OFFLINE is set."))
    following.result(20)()
    training.other.wait_until_durable()
    with pytest.raises(RecordError, match="TRACKER_OFFLINE"):
        training.other.result(20)
