"""A small checkpoint with every part of the format, and bits of tensors to compare."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracker.format import Content, SourceEntry
from tracker.types import Architecture, Problem

TIED = torch.arange(12, dtype=torch.float32).reshape(3, 4)


def architecture() -> Architecture:
    return Architecture(
        rebuild="constructor",
        model_class="vision.net:Net",
        model_text="Net(hidden=384)",
        params={"hidden": "384"},
        constructor={"modules": [{"class": "vision.net:Net", "args": [], "kwargs": {}}]},
        structure={"modules": [], "objects": []},
        problems=(Problem("act", "is a lambda"),),
    )


def content(**changes: Any) -> Content:
    """Return a checkpoint's content; ``changes`` replace parts of it."""
    parts: dict[str, Any] = {
        "name": "epoch-6",
        "run_id": "0f3c",
        "created_at": 1_700_000_000_000,
        "epoch": 6,
        "step": 1200,
        "metrics": {"val_loss": 0.25, "broken": float("nan"), "top": float("inf")},
        "tags": {"owner": "ada"},
        "architecture": architecture(),
        "tensors": {
            "model": {
                "embed.weight": TIED,
                "head.weight": TIED,
                "head.bias": torch.tensor([0.5, -0.0], dtype=torch.float64),
                "steps": torch.tensor(7),
            },
            "architecture": {"mask": torch.tensor([True, False])},
            "training": {"optimizer.state.0.exp_avg": torch.ones(3, dtype=torch.bfloat16)},
        },
        "state_values": {"extra": {"$tuple": [1, 2]}},
        "training": {"optimizer": {"state": {"$tensor": "optimizer.state.0.exp_avg"}}},
        "environment": {"python": "3.11", "dirty": False},
        "source": [
            (SourceEntry("vision.net", "/home/ada/net.py", False, False, "source/vision/net.py"),
             b"class Net: ...\n"),
        ],
        "extra_files": {"MLmodel": b"flavors: {}\n"},
    }  # fmt: skip
    return Content(**(parts | changes))


def bits(tensor: Tensor) -> bytes:
    """Return a tensor's values, C order, by way of torch's own copy."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    copied = plain.clone(memory_format=torch.contiguous_format)
    return bytes(copied.untyped_storage().tolist())


def copy_of(directory: Path, target: Path) -> Path:
    """Copy a checkpoint over ``target``, so that a test may damage the copy."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(directory, target)
    return target
