"""Wrote a checkpoint of four processes and ``expected.json`` beside this file, once.

It stands for the checkpoints in users' hands, which don't change: do not write it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from tracker.format import Content, Shard, joined, write_checkpoint, write_shards
from tracker.types import Architecture

HERE = Path(__file__).parent

ROWS = torch.arange(14, dtype=torch.float32).reshape(7, 2)
TILES = torch.arange(24, dtype=torch.int16).view(torch.bfloat16).reshape(4, 6)
STRIPES = torch.arange(5, dtype=torch.int64)
PLAIN = {"norm.weight": torch.tensor([1.5, -0.0]), "steps": torch.tensor(3)}
OWN = torch.tensor([7, 8, 9], dtype=torch.uint8)


def shards(rank: int) -> dict[str, list[Shard]]:
    """Return what a process holds: uneven rows, tiles, and stripes of which rank 1 has two."""
    held: list[Shard] = []
    first, last = [0, 2, 4, 6][rank], [2, 4, 6, 7][rank]
    held.append(Shard("rows", (7, 2), ((first, 0), (last - first, 2)), ROWS[first:last]))
    y, x = divmod(rank, 2)
    tile = TILES[2 * y : 2 * y + 2, 3 * x : 3 * x + 3].contiguous()
    held.append(Shard("tiles", (4, 6), ((2 * y, 3 * x), (2, 3)), tile))
    stripes: Mapping[int, list[tuple[int, int]]] = {0: [(1, 3)], 1: [(0, 1), (3, 5)]}
    for begin, end in stripes.get(rank, []):
        held.append(Shard("stripes", (5,), ((begin,), (end - begin,)), STRIPES[begin:end]))
    return {"model": held}


def write(directory: Path) -> str:
    """Write the checkpoint; return the digest of its manifest."""
    placed = [
        write_shards(directory, rank, shards(rank), {"training": {f"rank-{rank}.seed": OWN + rank}})
        for rank in range(4)
    ]
    content = Content(
        name="epoch-1",
        run_id="0f3c0000000000000000000000000000",
        created_at=1_700_000_000_001,
        epoch=1,
        architecture=Architecture("none", "vision.net:Net", "Net()"),
        tensors={"model": PLAIN},
        training={
            "state": {"seed": {"value": {"$tensor": "rank-0.seed"}}},
            "ranks": {
                str(rank): {"state": {"seed": {"value": {"$tensor": f"rank-{rank}.seed"}}}}
                for rank in range(1, 4)
            },
        },
    )
    together = joined(placed, {"model": {"tied": "rows"}})
    return write_checkpoint(directory, replace(content, placed=together)).manifest_digest


def expected() -> dict[str, dict[str, dict[str, object]]]:
    """Return dtype, shape and bytes of every tensor, without the code of the format."""
    model = {**PLAIN, "rows": ROWS, "tied": ROWS, "tiles": TILES, "stripes": STRIPES}
    training = {f"rank-{rank}.seed": OWN + rank for rank in range(4)}
    return {
        group: {
            name: {
                "dtype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "bytes": bytes(tensor.clone().untyped_storage().tolist()).hex(),
            }
            for name, tensor in named.items()
        }
        for group, named in {"model": model, "training": training}.items()
    }


if __name__ == "__main__":
    facts = {"manifest_digest": write(HERE / "checkpoint"), "tensors": expected()}
    (HERE / "expected.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
