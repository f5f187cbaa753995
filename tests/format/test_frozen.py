"""Checkpoints in users' hands don't change: today's reader reads those of every format version."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tracker.format import SourceEntry, open_checkpoint
from tracker.types import Problem

from .examples import bits

FROZEN = Path(__file__).parents[1] / "frozen"
VERSIONS = sorted(path.parent for path in FROZEN.glob("v*/expected.json"))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_every_tensor_is_read_bit_for_bit(version):
    facts = json.loads((version / "expected.json").read_text())
    stored = open_checkpoint(
        version / "checkpoint",
        manifest_digest=facts["manifest_digest"],
        locate=lambda checkpoint, file: version / checkpoint,
    )
    stored.verify()
    assert stored.manifest.tensors.keys() == facts["tensors"].keys()
    for group, expected in facts["tensors"].items():
        read = stored.tensors(group)
        assert read.keys() == expected.keys()
        for name, tensor in read.items():
            assert str(tensor.dtype) == expected[name]["dtype"]
            assert list(tensor.shape) == expected[name]["shape"]
            assert bits(tensor).hex() == expected[name]["bytes"]


def test_version_1_says_what_it_said():
    stored = open_checkpoint(FROZEN / "v1" / "checkpoint")
    manifest = stored.manifest
    assert (manifest.name, manifest.epoch, manifest.step) == ("epoch-6", 6, 1200)
    assert manifest.run_id == "0f3c0000000000000000000000000000"
    assert manifest.created_at == 1_700_000_000_000
    assert math.isnan(manifest.metrics["nan"])
    assert [manifest.metrics[name] for name in ("val_loss", "inf", "-inf")] == [
        0.1,
        math.inf,
        -math.inf,
    ]
    assert manifest.tags == {"owner": "Ada"}
    assert manifest.architecture.rebuild == "constructor"
    assert manifest.architecture.model_class == "vision.net:Net"
    assert manifest.architecture.problems == (Problem("act", "is a lambda"),)
    assert manifest.state_values == {"extra": {"$tuple": [1, "ü"]}}
    assert manifest.architecture.constructor["modules"][0]["kwargs"] == [["hidden", 384]]
    assert manifest.training["optimizer"] == {
        "class": "torch.optim.adam:Adam",
        "state_dict": {"$dict": [[0, {"$tensor": "optimizer.state.0.exp_avg"}]]},
    }
    assert manifest.environment == {"python": "3.11.7"}
    assert manifest.source == (
        SourceEntry("vision.net", "/home/ada/net.py", True, False, "source/vision/net.py"),
    )
    assert stored.read_file("source/vision/net.py") == b"class Net: ...\n"
    assert stored.tensor("model", "tied") is stored.tensor("model", "float32")


def test_version_1_1_refers_to_an_earlier_checkpoint():
    version = FROZEN / "v1_1"
    (first,) = (path.name for path in version.glob("m-*"))
    stored = open_checkpoint(
        version / "checkpoint", locate=lambda checkpoint, file: version / checkpoint
    )
    assert stored.manifest.references == [first]
    entries = stored.manifest.tensors["model"]
    held = f"{first}/model.safetensors"
    assert (entries["renamed"].file, entries["renamed"].tensor) == (held, "frozen")
    assert (entries["backbone.weight"].file, entries["backbone.weight"].tensor) == (held, None)
    assert entries["head.weight"].file == entries["backbone.small"].file == "model.safetensors"
    assert stored.tensor("model", "backbone.tied") is stored.tensor("model", "backbone.weight")
    equal = stored.tensor("training", "optimizer.state.0.exp_avg")
    assert equal.data_ptr() != stored.tensor("model", "renamed").data_ptr()
    # The first one needs nobody.
    open_checkpoint(version / first).verify()


def test_version_1_2_has_tensors_that_several_processes_wrote():
    stored = open_checkpoint(FROZEN / "v1_2" / "checkpoint")
    entries = stored.manifest.tensors["model"]
    assert [part.shape for part in entries["rows"].parts] == [(2, 2), (2, 2), (2, 2), (1, 2)]
    assert len(entries["tiles"].files) == 4
    # Two stripes of one tensor lie in one file, under two names.
    assert [part.tensor for part in entries["stripes"].parts] == [None, None, "stripes#2"]
    assert stored.tensor("model", "tied") is stored.tensor("model", "rows")
    stored.verify()
