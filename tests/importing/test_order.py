"""What is imported is a checkpoint like any other, once, and what is broken keeps nothing out."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import tracker
from tests.models import Net, Tied
from tests.training import log, same, train_epoch
from tracker.errors import InvalidArgumentError, NotFoundError, TrackerWarning
from tracker.importing.outcome import ImportedCheckpoint
from tracker.record import artifacts

pytestmark = pytest.mark.usefixtures("workplace")


def trained(epoch: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(epoch)
    model = Net(hidden=4)
    optimizer = torch.optim.Adam(model.parameters())
    train_epoch(model, optimizer, epoch)
    return model, optimizer


def save(path: str, value: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)


def by_name(outcomes: list[ImportedCheckpoint]) -> dict[str, ImportedCheckpoint]:
    return {Path(outcome.source).name: outcome for outcome in outcomes}


def test_a_folder_becomes_a_run_of_checkpoints_that_load_resume_and_verify() -> None:
    models = [trained(epoch) for epoch in range(3)]
    for epoch, (model, optimizer) in enumerate(models):
        state = {f"module.{key}": value for key, value in model.state_dict().items()}
        entries = {"state_dict": state, "optimizer": optimizer.state_dict(), "epoch": epoch}
        save(f"old/e{epoch}.pth", {**entries, "val_loss": 1.0 - epoch / 10, "args": {"lr": 0.1}})
    outcomes = tracker.import_checkpoints("old", model=Net(hidden=4), experiment="imported")
    assert [(each.status, each.epoch, each.notes) for each in outcomes] == [
        ("imported", epoch, ()) for epoch in range(3)
    ]
    best = tracker.best_checkpoint("val_loss", experiment="imported")
    assert (best.epoch, best.rebuild, best.params["lr"]) == (2, "constructor", "0.1")
    model, optimizer = models[2]
    assert same(best.load_model().state_dict(), model.state_dict())
    live, other = trained(7)
    best.resume(model=live, optimizer=other)
    assert same(other.state_dict(), optimizer.state_dict())
    run = mlflow.get_run(best.run_id)
    assert (run.info.run_name, run.info.status) == ("old", "FINISHED")
    assert mlflow.get_logged_model(best.id).status == "READY"


def test_weights_without_a_model_load_into_one_and_get_one_later() -> None:
    model, _ = trained()
    save("alone.pt", {f"_orig_mod.{key}": value for key, value in model.state_dict().items()})
    (alone,) = tracker.import_checkpoints("alone.pt")
    assert alone.checkpoint is not None
    assert alone.checkpoint.rebuild == "none"
    assert same(alone.checkpoint.load_state_dict(), dict(sorted(model.state_dict().items())))
    assert alone.checkpoint.load_into(Net(hidden=4)).complete
    assert "tensors" in str(alone.checkpoint.diff(log(model)))
    mlflow.end_run()
    with pytest.raises(tracker.TrackerError, match="--model"):
        alone.checkpoint.load_model()
    (again,) = tracker.import_checkpoints("alone.pt", model=Net(hidden=4))
    assert again.checkpoint is not None
    assert same(again.checkpoint.load_model().state_dict(), model.state_dict())
    imported = tracker.search_checkpoints("tags.import_layout = 'state_dict'")
    assert [each.id for each in imported] == [again.checkpoint.id]


def test_importing_again_or_from_elsewhere_makes_nothing_twice() -> None:
    save("old/epoch_1.pth", trained(1)[0].state_dict())
    (first,) = tracker.import_checkpoints("old")
    save("old/epoch_2.pth", trained(2)[0].state_dict())
    os.link("old/epoch_2.pth", "old/last.pth")
    again = tracker.import_checkpoints(["old", "old/epoch_1.pth"])
    assert [each.status for each in again] == [
        "there already", "imported", "there already", "there already"
    ]  # fmt: skip
    Path("old").rename("moved")
    assert {each.status for each in tracker.import_checkpoints("moved")} == {"there already"}
    found = tracker.search_checkpoints()
    assert len(found) == 2
    assert {each.run_id for each in found} == {first.run}


def test_nothing_that_is_there_is_replaced() -> None:
    model, _ = trained()
    checkpoint = log(model, epoch=1)
    save("same_epoch=1.pt", {"model": model.state_dict(), "epoch": 1})
    save("other_epoch=1.pt", {"model": trained(9)[0].state_dict(), "epoch": 1})
    run_id = checkpoint.run_id
    mlflow.end_run()
    with pytest.warns(TrackerWarning, match="with other weights; nothing was replaced"):
        outcomes = tracker.import_checkpoints(
            ["same_epoch=1.pt", "other_epoch=1.pt"], run_id=run_id, model=Net(hidden=4)
        )
    assert [each.status for each in outcomes] == ["there already", "failed"]
    assert [each.id for each in tracker.search_checkpoints()] == [checkpoint.id]
    (elsewhere,) = tracker.import_checkpoints("other_epoch=1.pt", run_name="second try")
    assert elsewhere.status == "imported"


def test_what_is_broken_is_named_and_the_others_are_imported(tmp_path: Path) -> None:
    good = trained()[0].state_dict()
    save("mixed/größe 1/net epoch=1.pt", good)
    save("mixed/whole.pt", Net())
    save("mixed/shape.pt", {**good, "head.bias": torch.zeros(3)})
    save("mixed/nothing.pt", {"epoch": 3})
    Path("mixed/text.pth").write_text("hello")
    Path("mixed/empty.ckpt").touch()
    os.symlink(tmp_path / "mixed", "mixed/loop")
    with pytest.warns(TrackerWarning, match="5 of 6"):
        outcomes = by_name(tracker.import_checkpoints("mixed", model=Net(hidden=4)))
    assert outcomes.pop("net epoch=1.pt").status == "imported"
    assert {name: each.status for name, each in outcomes.items()} == dict.fromkeys(
        ["whole.pt", "shape.pt", "nothing.pt", "text.pth", "empty.ckpt"], "failed"
    )
    assert "head.bias is [3] in the checkpoint and [2] in the model" in outcomes["shape.pt"].reason
    assert "tests.models.Net" in outcomes["whole.pt"].reason


def test_an_import_that_fails_leaves_no_run_behind() -> None:
    Path("text.pth").write_text("hello")
    with pytest.warns(TrackerWarning):
        tracker.import_checkpoints("text.pth", experiment="imported")
    assert mlflow.get_experiment_by_name("imported") is None


def test_tied_weights_come_back_tied_where_the_file_has_one_name_of_them() -> None:
    names = ("embedding.weight", "shared.weight", "shared.bias")
    state = {name: Tied().state_dict()[name].clone() for name in names}
    save_file(state, "tied.safetensors")
    (outcome,) = tracker.import_checkpoints("tied.safetensors", model=Tied())
    assert outcome.checkpoint is not None
    loaded: Any = outcome.checkpoint.load_model()
    assert loaded.head.weight is loaded.embedding.weight
    assert loaded.again is loaded.shared
    assert torch.equal(loaded.head.weight, state["embedding.weight"])


def test_a_trainers_folder_brings_metrics_steps_optimizer_and_configuration() -> None:
    model, optimizer = trained()
    folder = Path("out/checkpoint-500")
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    (folder / "config.json").write_text(json.dumps({"architectures": ["Net"], "hidden": 4}))
    history = [{"step": 400, "loss": 0.9}, {"step": 500, "epoch": 2.0, "eval_loss": 0.4}]
    state = {"epoch": 2.0, "global_step": 500, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (folder / "training_args.bin").write_bytes(b"\x80\x02")
    (outcome,) = tracker.import_checkpoints("out")
    assert (outcome.layout, outcome.epoch, outcome.step) == ("hugging face", 2, 500)
    assert (outcome.metrics, outcome.params["hidden"]) == ({"eval_loss": 0.4}, "4")
    assert any("training_args.bin" in note for note in outcome.notes)
    assert outcome.checkpoint is not None
    live, other = trained(7)
    outcome.checkpoint.resume(model=live, optimizer=other)
    assert same(other.state_dict(), optimizer.state_dict())


def test_checkpoints_of_autologging_stay_in_their_run_with_its_curves_as_they_were() -> None:
    with mlflow.start_run() as run:
        for epoch in range(2):
            mlflow.log_metrics({"val_loss": 0.5 - epoch / 10}, step=epoch)
            state = {"state_dict": trained(epoch)[0].state_dict(), "global_step": 4 * epoch + 4}
            torch.save({**state, "epoch": epoch, "loops": {}, "callbacks": {}}, "checkpoint.pth")
            mlflow.log_artifact("checkpoint.pth", f"checkpoints/epoch_{epoch}")
            mlflow.log_dict(
                {"train_loss": 0.25, "epoch": epoch, "global_step": 4 * epoch + 4},
                f"checkpoints/epoch_{epoch}/checkpoint_metrics.json",
            )
    outcomes = tracker.import_checkpoints(f"runs:/{run.info.run_id}")
    assert [(e.epoch, e.step, e.metrics, e.run) for e in outcomes] == [
        (0, 4, {"val_loss": 0.5, "train_loss": 0.25}, run.info.run_id),
        (1, 8, {"val_loss": 0.4, "train_loss": 0.25}, run.info.run_id),
    ]
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert {(point.step, point.value) for point in history} == {(0, 0.5), (1, 0.4)}
    assert tracker.best_checkpoint("val_loss").step == 8


def test_of_a_remote_store_only_the_checkpoints_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow.start_run() as run:
        save("checkpoint.pth", {"state_dict": trained()[0].state_dict(), "epoch": 2})
        mlflow.log_artifact("checkpoint.pth", "checkpoints/epoch_2")
        mlflow.log_dict({"loss": 0.5}, "checkpoints/epoch_2/checkpoint_metrics.json")
        mlflow.log_text("x" * 100, "notes/large.txt")
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    source = f"runs:/{run.info.run_id}"
    for below in ("", "/checkpoints", "/checkpoints/epoch_2/checkpoint.pth"):
        (outcome,) = tracker.import_checkpoints(f"{source}{below}", dry_run=True)
        assert (outcome.status, outcome.epoch) == ("would be imported", 2)
        assert (outcome.metrics, outcome.run) == ({"loss": 0.5}, run.info.run_id)
        assert outcome.source == f"{source}/checkpoints/epoch_2/checkpoint.pth"
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(NotFoundError, match="no checkpoint is in it"):
        tracker.import_checkpoints(f"{source}/notes")


def test_a_dry_run_says_the_same_and_changes_nothing() -> None:
    save("old/epoch_1.pth", trained(1)[0].state_dict())
    save("old/copy.pth", trained(1)[0].state_dict())
    os.link("old/epoch_1.pth", "old/link.pth")
    promised = by_name(tracker.import_checkpoints("old", experiment="new", dry_run=True))
    assert mlflow.get_experiment_by_name("new") is None
    assert {n: e.status for n, e in promised.items()} == {
        "copy.pth": "would be imported",
        "epoch_1.pth": "would be imported",
        "link.pth": "there already",
    }
    done = by_name(tracker.import_checkpoints("old", experiment="new"))
    assert {n: e.epoch for n, e in done.items()} == {n: e.epoch for n, e in promised.items()}


def test_a_dry_run_in_an_empty_folder_makes_no_database(workplace: Path) -> None:
    save("old/epoch_1.pth", trained(1)[0].state_dict())
    Path("mlflow.db").unlink()
    (promised,) = tracker.import_checkpoints("old", dry_run=True)
    assert (promised.status, promised.run) == ("would be imported", "old")
    assert {path.name for path in workplace.iterdir()} <= {"old", "cache", "spool"}


def test_a_thousand_files_that_are_none_cost_nothing_and_say_so() -> None:
    Path("empty").mkdir()
    with pytest.raises(NotFoundError, match="no checkpoint is in it"):
        tracker.import_checkpoints("empty")
    for index in range(1000):
        Path(f"empty/{index}.txt").touch()
    with pytest.raises(NotFoundError, match="no checkpoint is in it"):
        tracker.import_checkpoints("empty")
    with pytest.raises(NotFoundError, match="no such file"):
        tracker.import_checkpoints("nowhere.pth")


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": []},
        {"source": "s3://bucket/file.pth"},
        {"source": "runs:/"},
        {"source": ".", "model": Net},
        {"source": ".", "run_id": ""},
        {"source": ".", "run_id": "x", "run_name": "y"},
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        tracker.import_checkpoints(arguments.pop("source"), **arguments)


def test_a_run_that_is_not_there_is_said_at_once() -> None:
    save("epoch_1.pth", trained(1)[0].state_dict())
    with pytest.raises(NotFoundError):
        tracker.import_checkpoints("epoch_1.pth", run_id="0" * 32)
