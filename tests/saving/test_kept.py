"""What a process keeps of a checkpoint that it could not save with others."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from safetensors.torch import load_file
from torch import nn

from tracker.distributed.agreement import offer
from tracker.distributed.board import Board
from tracker.errors import DistributedError, RecordError, StorageError, UnstorableError
from tracker.format import Shard
from tracker.saving import kept, spool
from tracker.saving.kept import save_or_keep
from tracker.saving.lead_ticket import LeadTicket
from tracker.saving.leading import Lead
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot, take
from tracker.saving.ticket import Ticket
from tracker.saving.turn import OUTCOME, Turn

TICKET = Ticket("epoch-6", "of rank 0")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def snapshot() -> Snapshot:
    """What rank 1 of 2 holds: boxes of two tensors, of one of them two, and a plain layer."""
    plain = take(nn.Linear(2, 1), optimizer=None, scheduler=None, state=None)
    boxes = (
        ("model", Shard("spread", (4, 2), ((2, 0), (2, 2)), torch.arange(4.0).reshape(2, 2))),
        ("training", Shard("0.exp_avg", (6,), ((1,), (1,)), torch.tensor([1.0]))),
        ("training", Shard("0.exp_avg", (6,), ((4,), (2,)), torch.tensor([4.0, 5.0]))),
    )
    return replace(plain, boxes=boxes, training={"lr": 0.1})


def part(rank: int = 1, *, whole: bool = False) -> kept.Part:
    turn = Turn(Board(distributed.HashStore(), "t"), rank, 2, 0.1, whole=whole)
    request = Request(6, None, {"loss": float("nan")}, {})
    return kept.Part(turn, request, snapshot(), {"model": {"tied": "spread"}})


def failing(error: Exception):
    def save():
        raise error

    return save


def folders(home: Path) -> list[Path]:
    return sorted((home / "shards").glob("*"))


def test_the_error_names_the_folder_that_holds_what_this_process_had(home):
    with pytest.raises(DistributedError, match="rank 0 is gone") as told:
        save_or_keep(failing(DistributedError("rank 0 is gone.")), part(), TICKET)
    (folder,) = folders(home)
    assert str(folder) in str(told.value)
    assert "safetensors" in str(told.value)
    assert folder.name.startswith("epoch-6-rank-1-of-2-")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_table_says_where_every_part_belongs(home):
    table = json.loads((kept.keep(part(), "a reason") / "shards.json").read_text())
    (folder,) = folders(home)
    assert (table["checkpoint"], table["epoch"], table["step"]) == ("epoch-6", 6, None)
    assert (table["rank"], table["world_size"], table["why"]) == (1, 2, "a reason")
    assert table["model_class"] == "torch.nn.modules.linear:Linear"
    assert table["same_as"] == {"model": {"tied": "spread"}}
    assert table["training"] == {"lr": 0.1}
    together = {
        (each["group"], each["name"]): torch.full(each["global_shape"], -1.0)
        for each in table["tensors"]
    }
    for each in table["tensors"]:
        box = tuple(slice(o, o + n) for o, n in zip(each["offset"], each["shape"], strict=True))
        values = load_file(folder / each["file"])[each["key"]]
        together[each["group"], each["name"]][box] = values
    assert together["model", "spread"].tolist() == [[-1, -1], [-1, -1], [0, 1], [2, 3]]
    assert together["training", "0.exp_avg"].tolist() == [-1, 1, -1, -1, 4, 5]
    assert together["model", "weight"].shape == (1, 2)
    assert -1 not in together["model", "weight"]


def test_an_error_keeps_its_type_notes_and_cause(home):
    error = UnstorableError("x", "can't be stored.")
    error.add_note("This is what rank 0 ended with.")
    error.__cause__ = OSError("no")
    with pytest.raises(UnstorableError, match=r"x: can't be stored\. The shards") as told:
        save_or_keep(failing(error), part(), TICKET)
    assert told.value.__notes__ == ["This is what rank 0 ended with."]
    assert isinstance(told.value.__cause__, OSError)


def test_an_error_of_another_library_becomes_the_cause(home):
    with pytest.raises(DistributedError, match="RuntimeError: out of luck") as told:
        save_or_keep(failing(RuntimeError("out of luck")), part(), TICKET)
    assert isinstance(told.value.__cause__, RuntimeError)


def test_nothing_is_kept_of_what_is_whole_elsewhere(home):
    with pytest.raises(RecordError) as told:
        save_or_keep(failing(RecordError("MLflow refused.")), part(whole=True), TICKET)
    assert str(told.value) == "MLflow refused."
    assert folders(home) == []


def test_a_spool_that_refuses_is_told_beside_the_first_error(home):
    home.write_text("no folder")
    with pytest.raises(StorageError, match=r"disk\. Nor could the shards of rank 1 of 2"):
        save_or_keep(failing(StorageError("No disk.")), part(), TICKET)


def test_the_others_hear_of_it_before_rank_0_keeps_its_own(home, monkeypatch):
    held = part(0)
    ticket = LeadTicket("epoch-6", "0f3c", 1, Lead(held.turn, offer("epoch-6", {}), {}))
    seen: list[bool] = []
    monkeypatch.setattr(kept, "keep", lambda *_: seen.append(held.turn.board.has([OUTCOME])))
    with pytest.raises(DistributedError):
        save_or_keep(failing(DistributedError("rank 1 is gone.")), held, ticket)
    assert seen == [True]


def test_what_is_kept_is_neither_sent_nor_swept(home):
    folder = kept.keep(part(), "a reason")
    for path in (*folder.iterdir(), folder, folder.parent):
        os.utime(path, (0, 0))
    spool.sweep()
    assert spool.waiting() == []
    assert (folder / "shards.json").exists()
