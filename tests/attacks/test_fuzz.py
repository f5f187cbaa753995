"""Good checkpoints, changed at random: they load, or end in a TrackerError, and nothing happens."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import fx, nn

from tests import models
from tests.attacks.canary import Canary
from tests.attacks.checkpoints import checkpoint_in, copied, write_checkpoint_of
from tests.attacks.names import NAMES, ODD_NAMES
from tracker.errors import TrackerError
from tracker.format import MANIFEST

MODELS: dict[str, Any] = {
    "net": lambda: models.Net(hidden=2),
    "tied": models.Tied,
    "buffers": models.Buffers,
    "containers": models.Containers,
    "configured": lambda: models.Configured(models.Config(mode=models.Mode.SLOW)),
    "hooked": models.Hooked,
    "parametrized": lambda: models.Parametrized(2),
    "methods": models.OwnMethod,
    "extra state": models.ExtraState,
    "graph": lambda: fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU())),
    "factory": lambda: nn.Sequential(models.Wrapper(nn.Linear(2, 2)), nn.Dropout(0.5)),
}

# No number between: a constructor may well make as many layers as it is told to.
SCALARS = [None, True, False, 0, 1, -1, 2, 1 << 63, -(1 << 70), 1.5, 1e300, "", "x", "forward"]
TAGS = (
    "$class $function $object $module $partial $method $enum $weakref $tensor $ndarray $tuple "
    "$dict $set $opaque $logger $bytes $regex $numpy $size $device $parametrized $graph"
).split()
PARTS = ("architecture", "state_values", "training", "tensors", "files", "source", "example")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("laboratory"))


class Laboratory:
    """Good checkpoints, and a canary that listens when one is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "writable"
        self.output.mkdir()
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.output / 'mlflow.db'}"
        (folder / "secret").write_text("secret")
        self.canary = Canary(self.output, folder / "secret")
        for name in MODELS:
            write_checkpoint_of(folder / name, **in_training(name))
            self._load(name, folder / name)

    def manifest(self, name: str) -> Any:
        return json.loads((self.folder / name / MANIFEST).read_bytes())

    def load(self, name: str, manifest: Any) -> list[str]:
        """Load a checkpoint with another manifest; return what the canary heard."""
        place = self.folder / "attacked"
        copied(self.folder / name, place)
        (place / MANIFEST).write_text(json.dumps(manifest))
        with self.canary.listening() as heard:
            self._load(name, place)
        return heard

    def _load(self, name: str, place: Path) -> None:
        checkpoint = checkpoint_in(place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(TrackerError):
                checkpoint.load_model()
            with contextlib.suppress(TrackerError):
                checkpoint.resume(**in_training(name))


def in_training(name: str) -> dict[str, Any]:
    """Return a model, and an optimizer if it has something to learn."""
    model = MODELS[name]()
    parameters = list(model.parameters())
    return {"model": model, "optimizer": torch.optim.Adam(parameters) if parameters else None}


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every part of JSON."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def mutate(draw: st.DrawFn, manifest: Any) -> None:
    """Change one part of the manifest: replace, remove, repeat or wrap it, or give it a name."""
    part = draw(st.sampled_from([p for p in PARTS if isinstance(manifest.get(p), (dict, list))]))
    ways = [(part, *path) for path in places(manifest[part])]
    if not ways:
        return
    path = draw(st.sampled_from(ways))
    owner, key = at(manifest, path[:-1]), path[-1]
    kind = draw(st.sampled_from(["scalar", "part", "name", "tag", "remove", "repeat", "key"]))
    if kind == "scalar":
        owner[key] = draw(st.sampled_from(SCALARS))
    elif kind == "part":
        owner[key] = copy.deepcopy(at(manifest, draw(st.sampled_from(ways))))
    elif kind == "name":
        owner[key] = draw(st.sampled_from([*NAMES, *ODD_NAMES[:6]]))
    elif kind == "tag":
        owner[key] = {draw(st.sampled_from(TAGS)): owner[key]}
    elif kind == "remove":
        del owner[key]
    elif isinstance(owner, list):
        owner.insert(key, copy.deepcopy(owner[key]))
    elif kind == "key":
        owner[draw(st.sampled_from([*TAGS, "eval", "__class__", "forward", "call"]))] = owner[key]


@st.composite
def mutations(draw: st.DrawFn, manifest: Any) -> Any:
    """Draw a manifest with a few changes, to be built in either way."""
    changed = copy.deepcopy(manifest)
    if draw(st.booleans()):
        changed["architecture"]["rebuild"] = "structure"
    for _ in range(draw(st.integers(1, 3))):
        mutate(draw, changed)
    return changed


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(sorted(MODELS)))
def test_a_changed_manifest_loads_or_ends_in_a_tracker_error(
    laboratory: Laboratory, data: st.DataObject, name: str
) -> None:
    changed = data.draw(mutations(laboratory.manifest(name)))
    assert laboratory.load(name, changed) == []


def test_the_good_checkpoints_load(laboratory: Laboratory) -> None:
    for name in MODELS:
        checkpoint = checkpoint_in(laboratory.folder / name)
        assert isinstance(checkpoint.load_model(), nn.Module), name
        checkpoint.resume(**in_training(name))
