"""What the content does not say, the run's history says, and else the name of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.models import Net
from tests.training import log
from tracker.errors import CorruptCheckpointError
from tracker.importing.contents import Contents
from tracker.importing.discover import Found
from tracker.importing.reading import check_unchanged, completed, read, stamps


def file(name: str) -> Found:
    return Found(name, (name,))


def test_content_goes_before_history_and_history_before_the_name() -> None:
    found = file("epoch=9-step=120-loss=0.9-acc=0.5-val_loss=0.7.ckpt")
    contents = Contents("lightning", {}, epoch=3, metrics={"loss": 0.1})
    points = {"loss": {3: 0.2}, "val_loss": {3: 0.3}}
    whole = completed(contents, found, points)
    assert (whole.epoch, whole.step) == (3, 120)
    assert whole.metrics == {"loss": 0.1, "val_loss": 0.3, "acc": 0.5}


def test_a_history_by_steps_is_read_by_steps_and_tells_the_epoch() -> None:
    points = {"epoch": {49: 0.0, 99: 1.0}, "val_loss": {49: 0.5, 99: 0.25, 1: 0.9}}
    whole = completed(Contents("state_dict", {}, step=99), file("x.pt"), points)
    assert (whole.epoch, whole.metrics) == (1, {"val_loss": 0.25})


def test_a_bare_number_in_a_name_counts_only_where_nothing_else_does() -> None:
    known = completed(Contents("training dict", {}, epoch=3), file("checkpoint_7.pt"), {})
    assert (known.epoch, known.step) == (3, None)
    assert completed(Contents("state_dict", {}), file("checkpoint_7.pt"), {}).step == 7


@pytest.mark.parametrize(
    ("name", "epoch", "step"),
    [
        ("epoch_3/checkpoint.pth", 3, None),
        ("global_step_7/model.pt", None, 7),
        ("a/b.pt", None, None),
    ],
)
def test_the_folder_of_a_single_checkpoint_is_part_of_its_name(
    name: str, epoch: int | None, step: int | None
) -> None:
    whole = completed(Contents("state_dict", {}), file(name), {})
    assert (whole.epoch, whole.step) == (epoch, step)


def test_what_tracker_exported_comes_back_with_all_that_was_known(workplace: Path) -> None:
    checkpoint = log(Net(hidden=4), epoch=6, step=60, metrics={"loss": float("inf"), "acc": 0.5})
    checkpoint.export("best.safetensors")
    contents = read(workplace, file("best.safetensors"), copy=True)
    assert (contents.epoch, contents.step, dict(contents.metrics)) == (6, 60, checkpoint.metrics)
    assert contents.params == checkpoint.params
    assert contents.architecture == checkpoint.model_text


def test_a_file_that_changes_while_it_is_read_is_not_taken(tmp_path: Path) -> None:
    found = file("last.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / found.name)
    before = stamps(tmp_path, found)
    read(tmp_path, found, copy=True)
    check_unchanged(before, tmp_path, found)
    save_file({"w": torch.ones(3)}, tmp_path / found.name)  # as by a training that goes on
    with pytest.raises(CorruptCheckpointError, match="changed while it was read"):
        check_unchanged(before, tmp_path, found)
