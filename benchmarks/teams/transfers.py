"""A process of the team's benchmark: a large checkpoint through the proxy, up and down.

    python transfers.py <tracker,mlflow> <megabytes> <run id> <name>

Prints the seconds of each direction for each of the two, who take turns in the order given. Both
have sent or fetched a small checkpoint before: the first of a process imports and connects. What is
fetched is nowhere on this side of the proxy: sending does not fill tracker's cache.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import mlflow
import torch
from torch import nn

import tracker

LAYERS = 4


def large_model(megabytes: float) -> nn.Module:
    """Return a model with that many megabytes of random numbers."""
    width = max(1, int((megabytes * 1e6 / 4 / LAYERS) ** 0.5))
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(LAYERS)))


def upload_with_tracker(model: nn.Module, run_id: str, name: str) -> None:
    tracker.log_checkpoint(model, epoch=int(name), run_id=run_id).result(timeout=600)


def upload_with_mlflow(model: nn.Module, run_id: str, name: str) -> None:
    torch.save(model.state_dict(), f"{name}.pt")
    mlflow.MlflowClient().log_artifact(run_id, f"{name}.pt")


def download_with_tracker(model: nn.Module, run_id: str, name: str) -> None:
    checkpoint = tracker.get_checkpoint(run_id, epoch=int(name))
    tracker.load_model(checkpoint)  # with every byte compared with its digest


def download_with_mlflow(model: nn.Module, run_id: str, name: str) -> None:
    file = mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path=f"{name}.pt", dst_path=str(Path.cwd() / "fetched")
    )
    model.load_state_dict(torch.load(file, weights_only=True, mmap=True))


ACTIONS = {
    ("upload", "tracker"): upload_with_tracker,
    ("upload", "mlflow"): upload_with_mlflow,
    ("download", "tracker"): download_with_tracker,
    ("download", "mlflow"): download_with_mlflow,
}


def main() -> None:
    order, megabytes, run_id, name = sys.argv[1:]
    torch.manual_seed(int(name))
    small, large = large_model(0.001), large_model(float(megabytes))
    seconds = {}
    for direction in ("upload", "download"):
        for who in order.split(","):
            act = ACTIONS[direction, who]
            act(small, run_id, f"{name}000")
            begun = time.perf_counter()
            act(large, run_id, name)
            seconds[f"{direction}, {who}"] = time.perf_counter() - begun
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
