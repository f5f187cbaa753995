"""Wrote ``example`` and ``example.json`` beside this file, once: a model with its golden output.

It stands for the checkpoints in users' hands, which don't change: do not write it again.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

import tracker  # noqa: F401 - observes the constructors
from tracker.format import Content, write_checkpoint
from tracker.saving.snapshot import take

HERE = Path(__file__).parent


def write() -> None:
    """Write a transformer layer that is given a tensor, and a mask by keyword."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train()
    x = torch.linspace(-1, 1, 48).reshape(2, 3, 8)
    mask = torch.tensor([[False, False, True], [False, False, False]])
    snapshot = take(
        model,
        optimizer=None,
        scheduler=None,
        state=None,
        example_input={"src": x, "src_key_padding_mask": mask, "is_causal": False},
    )
    description, example = snapshot.description, snapshot.example
    assert example is not None
    content = Content(
        name="epoch-3",
        run_id="0f3c0000000000000000000000000000",
        created_at=1_700_000_000_000,
        epoch=3,
        architecture=description.architecture,
        tensors={"model": description.state, "example": example.tensors},
        example=example.document,
    )
    written = write_checkpoint(HERE / "example", content)
    facts = {"manifest_digest": written.manifest_digest, "example": example.document}
    (HERE / "example.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write()
