"""Wrote ``checkpoint/`` and ``expected.json`` beside this file, once, with tracker 0.1.0.

They stand for the checkpoints in users' hands, which don't change: do not write them again. A later
format version gets a directory of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tracker.format import Content, SourceEntry, write_checkpoint
from tracker.format.dtypes import DTYPES
from tracker.types import Architecture, Problem

HERE = Path(__file__).parent


def tensors() -> dict[str, torch.Tensor]:
    """Return one tensor of every dtype, of bytes 0, 1, 2, …, and some unusual ones."""
    made = {}
    for name, dtype in DTYPES.items():
        data = torch.arange(6 * dtype.item_size, dtype=torch.uint8)
        made[name] = (data % 2 if name == "bool" else data).view(dtype.torch).reshape(2, 3)
    made["scalar"] = torch.tensor(-0.0)
    made["empty"] = torch.empty(0, 3)
    made["nan"] = torch.tensor([0x7F800001, 0xFFC00123], dtype=torch.uint32).view(torch.float32)
    made["transposed"] = torch.arange(6, dtype=torch.int32).reshape(2, 3).t()
    made["tied"] = made["float32"]
    return made


def content() -> Content:
    """Return a checkpoint with every part of the format."""
    return Content(
        name="epoch-6",
        run_id="0f3c0000000000000000000000000000",
        created_at=1_700_000_000_000,
        epoch=6,
        step=1200,
        metrics={"val_loss": 0.1, "nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")},
        tags={"owner": "Ada"},
        architecture=Architecture(
            rebuild="constructor",
            model_class="vision.net:Net",
            model_text="Net(hidden=384)",
            params={"hidden": "384"},
            constructor={
                "device": "meta",
                "modules": [
                    {
                        "class": "vision.net:Net",
                        "args": [{"$tuple": [1, 2]}],
                        "kwargs": [["hidden", 384]],
                    }
                ],
                "objects": [],
            },
            structure={"modules": [], "objects": []},
            problems=(Problem("act", "is a lambda"),),
        ),
        tensors={
            "model": tensors(),
            "architecture": {"mask": torch.tensor([True, False])},
            "training": {"optimizer.state.0.exp_avg": torch.tensor([0.5, 1.5])},
        },
        state_values={"extra": {"$tuple": [1, "ü"]}},
        training={
            "optimizer": {
                "class": "torch.optim.adam:Adam",
                "state_dict": {"$dict": [[0, {"$tensor": "optimizer.state.0.exp_avg"}]]},
            }
        },
        environment={"python": "3.11.7"},
        source=[
            (
                SourceEntry("vision.net", "/home/ada/net.py", True, False, "source/vision/net.py"),
                b"class Net: ...\n",
            )
        ],
        extra_files={"MLmodel": b"flavors: {}\n"},
    )


def expected() -> dict[str, dict[str, dict[str, object]]]:
    """Return dtype, shape and bytes of every tensor, without the code of the format."""
    return {
        group: {
            name: {
                "dtype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "bytes": bytes(tensor.clone(memory_format=torch.contiguous_format)
                               .untyped_storage().tolist()).hex(),
            }
            for name, tensor in named.items()
        }
        for group, named in content().tensors.items()
    }  # fmt: skip


if __name__ == "__main__":
    written = write_checkpoint(HERE / "checkpoint", content())
    facts = {"manifest_digest": written.manifest_digest, "tensors": expected()}
    (HERE / "expected.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
