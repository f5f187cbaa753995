"""A good checkpoint, and what an attacker makes of it. The digests are right: they are theirs."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from torch import nn

from tracker import Checkpoint
from tracker.architecture.source import archive
from tracker.flavor import _load_pyfunc
from tracker.format import MANIFEST, Content, write_checkpoint
from tracker.format.manifest import SourceEntry
from tracker.saving.snapshot import take
from tracker.types import CheckpointRecord

Change = Callable[[Path], None]
"""Makes an attack of a directory that holds a good checkpoint."""


ALL = ("load_model", "pyfunc", "load_state_dict", "resume", "explain", "export")


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        name: What it does, in words.
        change: Makes it.
        refused: The entry points that must raise a TrackerError. Others may do that or load,
            where they have no use for what was changed.
        entry_points: Those that are tried.
    """

    name: str
    change: Change
    refused: tuple[str, ...] = ("load_model", "pyfunc")
    entry_points: tuple[str, ...] = ALL


def training() -> dict[str, Any]:
    """Return a model in training, as it is logged and resumed."""
    from ours.net import Net

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def write_good(directory: Path) -> None:
    """Write the checkpoint that every attack starts from."""
    live = training()
    write_checkpoint_of(directory, **live, example_input=torch.ones(3, 2), state={"x": [1, (2,)]})


def write_checkpoint_of(
    directory: Path,
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Any = None,
    example_input: Any = None,
) -> None:
    """Write a checkpoint as it is logged, but without MLflow."""
    snapshot = take(
        model,
        optimizer=optimizer,
        scheduler=scheduler,
        state=state,
        example_input=example_input,
    )
    example, description = snapshot.example, snapshot.description
    assert description.architecture.rebuild != "none", description.architecture.problems
    sources = archive(description.modules)
    content = Content(
        name="epoch-1",
        run_id="r",
        created_at=0,
        epoch=1,
        metrics={"val_loss": 0.5},
        architecture=description.architecture,
        tensors={
            "model": description.state,
            "architecture": description.extra,
            "training": snapshot.training_tensors,
            "example": {} if example is None else example.tensors,
        },
        state_values=description.state_values,
        training=snapshot.training,
        example=None if example is None else example.document,
        source=[
            (
                SourceEntry(f.module, f.path, f.script, f.package, f"source/{f.file}"),
                f.content,
            )
            for f in sources
        ],
        extra_files={"MLmodel": b"flavors: {}"},
    )
    write_checkpoint(directory, content)


def checkpoint_in(directory: Path) -> Checkpoint:
    """Return the checkpoint of a directory in a store on this machine."""
    manifest = directory / MANIFEST
    is_usual = manifest.is_file() and manifest.stat().st_size < 1 << 30
    digest = blake3(manifest.read_bytes() if is_usual else b"").hexdigest()
    record = CheckpointRecord(
        id="m-1",
        run_id="r",
        experiment_id="0",
        experiment="x",
        name="epoch-1",
        epoch=1,
        step=None,
        metrics={},
        params={},
        tags={},
        model_class="ours.net:Net",
        model_text="Net()",
        rebuild="constructor",
        size=0,
        created_at=0,
        artifact_uri=directory.as_uri(),
        manifest_digest=digest,
    )
    return Checkpoint(record)


ENTRY_POINTS: dict[str, Callable[[Path, Path], object]] = {
    "load_model": lambda directory, output: checkpoint_in(directory).load_model(),
    "pyfunc": lambda directory, output: _load_pyfunc(str(directory)),
    "load_state_dict": lambda directory, output: checkpoint_in(directory).load_state_dict(),
    "resume": lambda directory, output: checkpoint_in(directory).resume(**training()),
    "explain": lambda directory, output: str(checkpoint_in(directory).explain()),
    "export": lambda directory, output: checkpoint_in(directory).export(output / "exported"),
}
"""Every way to load, given the checkpoint's directory and a folder that may be written to."""


def manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    """Return the attack that changes the manifest."""

    def apply(directory: Path) -> None:
        data = json.loads((directory / MANIFEST).read_bytes())
        change(data)
        (directory / MANIFEST).write_text(json.dumps(data))

    return apply


def copied(good: Path, directory: Path) -> None:
    """Put the good checkpoint into a directory, in place of what is there."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(good, directory)


MODULE: dict[str, Any] = {
    "class": "ours.net:Caller",
    "training": True,
    "parameters": [],
    "buffers": [],
    "children": [],
    "attributes": {},
}


def module(**entries: Any) -> dict[str, Any]:
    """Return the entry of a module that is good, but for what is given."""
    return {**copy.deepcopy(MODULE), **entries}


def structure(*modules: Any, objects: Any = (), state: Any = None) -> Change:
    """Return the attack with another module tree, which is built as it stands."""

    def change(data: dict[str, Any]) -> None:
        data["architecture"] |= {
            "rebuild": "structure",
            "constructor": None,
            "structure": {"modules": list(modules), "objects": list(objects)},
        }
        data["state_values"] = state or {}

    return manifest(change)


def call(
    cls: Any = "ours.net:Caller",
    args: Any = (),
    *,
    inner: Any = (),
    objects: Any = (),
    kind: str = "class",
    **more: Any,
) -> Change:
    """Return the attack with another constructor call, before those of its arguments."""

    def change(data: dict[str, Any]) -> None:
        modules = [{kind: cls, "args": list(args), "kwargs": []}, *inner]
        data["architecture"] |= {
            "rebuild": "constructor",
            "constructor": {"modules": modules, "objects": list(objects), "device": "cpu", **more},
            "structure": {"modules": [module()], "objects": []},
        }
        data["state_values"] = {}

    return manifest(change)
