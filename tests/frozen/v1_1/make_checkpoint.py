"""Wrote two checkpoints of one run and ``expected.json`` beside this file, once.

The second, ``checkpoint``, refers to the first for what did not change. They stand for the
checkpoints in users' hands, which don't change: do not write them again.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tracker.format import Content, known_tensors, write_checkpoint
from tracker.types import Architecture

HERE = Path(__file__).parent
FIRST = "m-00000000000000000000000000000001"


def tensors(epoch: int) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of an epoch: a frozen backbone, and what learns."""
    backbone = torch.arange(2048, dtype=torch.int16).view(torch.bfloat16).reshape(2, 1024)
    frozen = torch.arange(1024, dtype=torch.int32)
    return {
        "model": {
            "backbone.weight": backbone,
            "backbone.tied": backbone,
            "backbone.small": torch.tensor([1.5, -0.0]),
            "frozen" if epoch == 1 else "renamed": frozen,
            "head.weight": torch.full((3,), float(epoch)),
        },
        # Equal to a tensor of the model, but never the same.
        "training": {"optimizer.state.0.exp_avg": frozen.clone()},
    }


def content(epoch: int) -> Content:
    """Return the checkpoint of an epoch."""
    return Content(
        name=f"epoch-{epoch}",
        run_id="0f3c0000000000000000000000000000",
        created_at=1_700_000_000_000 + epoch,
        epoch=epoch,
        architecture=Architecture("none", "vision.net:Net", "Net()"),
        tensors=tensors(epoch),
    )


def expected(epoch: int) -> dict[str, dict[str, dict[str, object]]]:
    """Return dtype, shape and bytes of every tensor, without the code of the format."""
    return {
        group: {
            name: {
                "dtype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "bytes": bytes(tensor.clone().untyped_storage().tolist()).hex(),
            }
            for name, tensor in named.items()
        }
        for group, named in tensors(epoch).items()
    }


if __name__ == "__main__":
    first = write_checkpoint(HERE / FIRST, content(1))
    known = known_tensors(first.manifest, FIRST)
    second = write_checkpoint(HERE / "checkpoint", content(2), known=known)
    facts = {"manifest_digest": second.manifest_digest, "tensors": expected(2)}
    (HERE / "expected.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
