"""``tracker pull`` brings files into the cache and says where they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import invoke
from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.loading.verify import verify
from tracker.record import artifacts

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return log(Net(hidden=4), epoch=6)


def test_files_of_a_local_store_stay_where_they_are(checkpoint: Checkpoint) -> None:
    folder = invoke("pull", checkpoint.id).output
    assert folder == f"{checkpoint.record.artifact_uri.removeprefix('file://')}\n"


def test_files_of_a_remote_store_are_in_the_cache_and_loaded_from_there(
    checkpoint: Checkpoint, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(checkpoint.record.artifact_uri)
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    pulled = json.loads(invoke("pull", checkpoint.id, "--json").stdout)
    assert pulled["id"] == checkpoint.id
    assert Path(pulled["folder"]).is_relative_to(workplace / "cache")
    assert invoke("verify", checkpoint.id).output.startswith("ok ")
    shutil.rmtree(store)
    assert checkpoint.load_model()
    assert invoke("pull", checkpoint.id).output == f"{pulled['folder']}\n"
    assert verify(checkpoint.record).condition == "missing", "it is the store that is verified"
