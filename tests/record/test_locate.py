"""A checkpoint's tensors are found in the files of an earlier one, wherever the store is."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from torch import nn

from tests.models import Net
from tests.training import log, same, state_of
from tracker import Checkpoint
from tracker.errors import CorruptCheckpointError, NotFoundError
from tracker.format import content_of, open_checkpoint, write_checkpoint
from tracker.record import artifacts
from tracker.record.locate import locator

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def net() -> nn.Module:
    return Net(hidden=64, depth=2)


@pytest.fixture
def two(net: nn.Module) -> tuple[Checkpoint, Checkpoint]:
    """Two checkpoints of a run, the second of which holds nothing itself."""
    with mlflow.start_run():
        return log(net, epoch=0), log(net, epoch=1)


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def test_in_a_local_store_nothing_is_copied(two, net, workplace):
    locate = locator(two[1].record.artifact_uri)
    assert locate(two[0].id, "model.safetensors") == directory(two[0])
    assert same(state_of(two[1].load_model()), state_of(net))
    assert not (workplace / "cache").exists()


def test_files_that_are_gone_are_named_with_their_checkpoint(two):
    shutil.rmtree(directory(two[0]))
    with pytest.raises(
        NotFoundError,
        match=rf"tensors of epoch-1 are in the file model\.safetensors of checkpoint {two[0].id}.*"
        "deleted or moved",
    ):
        two[1].load_model()


def test_files_of_a_checkpoint_that_was_deleted_in_mlflow_are_found_while_they_are_there(two, net):
    MlflowClient().delete_logged_model(two[0].id)
    assert same(state_of(two[1].load_model()), state_of(net))
    shutil.rmtree(directory(two[0]))
    with pytest.raises(NotFoundError, match=two[0].id):
        two[1].load_model()


def test_a_store_that_was_moved_as_a_whole_is_found(two, net, workplace):
    (workplace / "mlruns").rename(workplace / "moved")
    moved = workplace / "moved" / directory(two[1]).relative_to(workplace / "mlruns")
    stored = open_checkpoint(moved, locate=locator(str(moved)))
    assert same(dict(stored.tensors("model")), dict(sorted(net.state_dict().items())))


def test_a_copy_of_a_checkpoint_finds_the_other_by_way_of_mlflow(two, net, workplace):
    shutil.copytree(directory(two[1]), workplace / "copy")
    stored = open_checkpoint(workplace / "copy", locate=locator(str(workplace / "copy")))
    assert same(dict(stored.tensors("model")), dict(sorted(net.state_dict().items())))


def test_a_copy_can_be_made_whole(two, net, workplace):
    stored = open_checkpoint(directory(two[1]), locate=locator(two[1].record.artifact_uri))
    write_checkpoint(workplace / "whole", content_of(stored))
    shutil.rmtree(workplace / "mlruns")
    whole = open_checkpoint(workplace / "whole")
    whole.verify()
    assert same(dict(whole.tensors("model")), dict(sorted(net.state_dict().items())))


def test_mlflows_own_tools_load_a_checkpoint_that_refers_to_another(two, net):
    loaded = mlflow.pyfunc.load_model(f"models:/{two[1].id}").get_raw_model()
    assert same(state_of(loaded), state_of(net))


@pytest.fixture
def remote(two, monkeypatch: pytest.MonkeyPatch) -> tuple[Checkpoint, Checkpoint]:
    """The store of the two counts as one that files have to be brought from."""
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    return two


def cached(workplace: Path) -> set[str]:
    folder = workplace / "cache" / "checkpoints"
    return {str(p.relative_to(folder)) for p in folder.rglob("*.safetensors")}


def test_of_a_remote_store_only_the_file_that_is_needed_is_brought(remote, net, workplace):
    assert same(state_of(remote[1].load_model()), state_of(net))
    assert cached(workplace) == {f"{each.id}/model.safetensors" for each in remote}


def test_it_is_brought_once_and_then_needs_no_store(remote, net, workplace):
    remote[1].load_model()
    shutil.rmtree(workplace / "mlruns")
    assert same(state_of(remote[1].load_model()), state_of(net))


def test_what_was_brought_for_its_own_sake_is_not_brought_again(remote, net, workplace):
    remote[0].load_model()
    shutil.rmtree(directory(remote[0]))
    assert same(state_of(remote[1].load_model()), state_of(net))


def test_what_a_remote_store_lost_is_named_and_what_came_stays_in_the_cache(remote, workplace):
    shutil.rmtree(directory(remote[0]))
    with pytest.raises(NotFoundError, match=f"file model.safetensors of checkpoint {remote[0].id}"):
        remote[1].load_model()
    # Nothing begins after an error: the other file came only if it was under way by then.
    assert cached(workplace) <= {f"{remote[1].id}/model.safetensors"}


def test_what_arrived_changed_is_not_loaded(remote):
    path = directory(remote[0]) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match=rf"{remote[0].id}/model\.safetensors"):
        remote[1].load_model()
