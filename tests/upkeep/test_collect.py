"""What `collect` removes, and what it never does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import LoggedModelOutput
from mlflow.tracking import MlflowClient
from torch import nn

import tracker
from tests.models import Net
from tests.training import log, same, state_of
from tracker import Checkpoint, Retention, api
from tracker.record import retention as record_retention
from tracker.upkeep.leftovers import Leftover

pytestmark = pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def kinds(planned: list[Leftover]) -> dict[str, tuple[str, str]]:
    return {each.id: (each.kind, each.stays) for each in planned}


def collect(grace: float = 0) -> dict[str, tuple[str, str]]:
    """Collect, and return what was found."""
    planned = api.plan_collection(grace)
    assert [each.error for each in api.collect(planned) if each.error] == []
    return kinds(planned)


def folders() -> set[str]:
    return {path.name for path in Path("mlruns/0/models").iterdir()}


@pytest.fixture
def live(workplace: Path) -> Iterator[Checkpoint]:
    """A checkpoint that must survive everything."""
    net = Net(hidden=4)
    found = log(net, epoch=100)
    yield found
    assert same(state_of(found.load_model()), state_of(net))


def test_what_was_deleted_in_mlflow_goes(live: Checkpoint) -> None:
    deleted = log(epoch=1)
    MlflowClient().delete_logged_model(deleted.id)
    assert collect() == {deleted.id: ("deleted", "")}
    assert folders() == {live.id}
    assert collect() == {}


def test_what_was_replaced_goes(live: Checkpoint) -> None:
    old = log(epoch=100, run_id=live.run_id, model=nn.Linear(2, 2))
    new = log(epoch=100, run_id=live.run_id, model=nn.Linear(2, 2))
    assert collect() == {old.id: ("deleted", "")}
    assert folders() == {live.id, new.id}


def test_what_failed_or_was_never_finished_goes(
    live: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.saving import publish

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(publish.logged_models, "finish", fail)
        with pytest.raises(OSError, match="disk full"):
            log(epoch=1)
        patch.setattr(publish.logged_models, "fail", lambda *_: None)
        with pytest.raises(OSError, match="disk full"):
            log(epoch=2)
    found = collect()
    assert sorted(found.values()) == [("failed", ""), ("unfinished", "")]
    assert folders() == {live.id}
    assert len(mlflow.search_logged_models(output_format="list")) == 1


def test_a_deletion_that_was_interrupted_is_finished(
    live: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = log(epoch=101, run_id=live.run_id)
    client = MlflowClient()
    client.set_logged_model_tags(old.id, {"tracker.replaced_by": live.id})
    assert collect() == {old.id: ("replaced", "")}
    assert folders() == {live.id}
    assert [each.id for each in tracker.search_checkpoints()] == [live.id]


def test_what_is_younger_than_the_grace_period_stays(live: Checkpoint) -> None:
    deleted = log(epoch=1)
    MlflowClient().delete_logged_model(deleted.id)
    assert collect(3600) == {deleted.id: ("deleted", "younger than the grace period")}
    for path in [directory(deleted).parent, *directory(deleted).parent.rglob("*")]:
        os.utime(path, (time.time() - 7200,) * 2)
    one = next(directory(deleted).glob("*.safetensors"))
    os.utime(one)  # somebody is writing it
    assert collect(3600) == {deleted.id: ("deleted", "younger than the grace period")}
    os.utime(one, (time.time() - 7200,) * 2)
    assert collect(3600) == {deleted.id: ("deleted", "")}


def test_a_plan_touches_nothing(live: Checkpoint) -> None:
    deleted = log(epoch=1)
    MlflowClient().delete_logged_model(deleted.id)
    (found,) = api.plan_collection(0)
    assert found.size == deleted.size
    assert directory(deleted).is_dir()


def test_files_that_a_checkpoint_needs_stay_until_the_last_one_goes(workplace: Path) -> None:
    net = Net(hidden=64, depth=3)
    net.requires_grad_(False)
    last = Retention(keep_last=1)
    with mlflow.start_run():
        holder = log(net, epoch=0)
        net.head.bias.add_(1)
        needing = log(net, epoch=1, retention=last)
        assert collect() == {holder.id: ("holder", "needed by epoch-1")}
        assert same(state_of(needing.load_model()), state_of(net))
        log(Net(hidden=4), epoch=2, retention=last)
    assert collect() == {holder.id: ("holder", "")}
    assert holder.id not in folders()
    assert needing.id not in folders()


def test_of_one_that_was_deleted_by_hand_the_needed_files_stay(workplace: Path) -> None:
    net = Net(hidden=64, depth=3)
    with mlflow.start_run():
        holder = log(net, epoch=0, state={"average": nn.Linear(64, 64)})
        needing = log(net, epoch=1)
    MlflowClient().delete_logged_model(holder.id)
    (found,) = api.plan_collection(0)
    assert (found.kind, found.stays, found.needed) == ("deleted", "", {"model.safetensors"})
    assert collect()[holder.id] == ("deleted", "")
    assert not (directory(holder) / "training.safetensors").exists()
    assert same(state_of(needing.load_model()), state_of(net))
    assert collect() == {holder.id: ("deleted", "needed by epoch-1")}


def test_what_is_registered_stays_even_if_it_was_deleted(live: Checkpoint) -> None:
    registered = log(epoch=1)
    mlflow.register_model(f"models:/{registered.id}", "digits")
    registered.register("whole")
    MlflowClient().delete_logged_model(registered.id)
    assert collect() == {registered.id: ("deleted", "registered as digits/1")}
    assert directory(registered).is_dir()
    assert tracker.load_model("models:/whole/1")


def test_what_is_not_trackers_stays(live: Checkpoint) -> None:
    client = MlflowClient()
    theirs = client.create_logged_model("0", name="theirs", source_run_id=live.run_id)
    place = Path(theirs.artifact_location)
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn}}")
    (place / "model.safetensors").write_text("theirs")
    client.log_outputs(live.run_id, [LoggedModelOutput(theirs.model_id, 0)])
    client.delete_logged_model(theirs.model_id)
    models = Path("mlruns/0/models")
    (models / "notes").mkdir()
    (models / ("m-" + "0" * 32) / "artifacts").mkdir(parents=True)
    (models / ("m-" + "0" * 32) / "artifacts" / "thesis.tex").write_text("years")
    before = folders()
    found = collect()
    assert {each for each in found if not found[each][1]} == set()
    assert folders() == before


def test_files_without_a_logged_model_go_if_their_run_is_known(live: Checkpoint) -> None:
    orphan, foreign = "m-" + "1" * 32, "m-" + "2" * 32
    for name in (orphan, foreign):
        shutil.copytree(directory(live), directory(live).parents[1] / name / "artifacts")
    manifest = directory(live).parents[1] / foreign / "artifacts" / "checkpoint.json"
    manifest.write_text(manifest.read_text().replace(live.run_id, "f" * 32))
    found = collect()
    assert found[orphan] == ("deleted", "")
    assert found[foreign][0] == "unknown"
    assert folders() == {live.id, foreign}


def test_what_can_not_be_removed_hinders_no_other(
    live: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.errors import RecordError
    from tracker.upkeep import collect as module

    deleted = [log(epoch=epoch) for epoch in (1, 2)]
    for each in deleted:
        MlflowClient().delete_logged_model(each.id)
    remove = module.remove_files

    def refuse(client: Any, model_id: str, *arguments: Any, **options: Any) -> None:
        if model_id == deleted[0].id:
            raise RecordError("not this one")
        remove(client, model_id, *arguments, **options)

    monkeypatch.setattr(module, "remove_files", refuse)
    done = {each.leftover.id: each.error for each in api.collect(api.plan_collection(0))}
    assert done == {deleted[0].id: "not this one", deleted[1].id: ""}


def test_what_begins_to_be_needed_after_the_plan_stays(workplace: Path) -> None:
    net = Net(hidden=64, depth=3)
    with mlflow.start_run():
        old = log(net, epoch=0)
        needing = log(net, epoch=1)
        client = MlflowClient()
        client.set_logged_model_tags(needing.id, {"tracker.references": ""})
        client.set_logged_model_tags(old.id, {"tracker.replaced_by": needing.id})
        planned = api.plan_collection(0)
        assert kinds(planned) == {old.id: ("replaced", "")}
        # In the meantime another process has said that it needs it.
        client.set_logged_model_tags(old.id, {"tracker.kept": "yes"})
        assert record_retention.refer(client, needing.id, [old.id])
        api.collect(planned)
    assert same(state_of(needing.load_model()), state_of(net))
