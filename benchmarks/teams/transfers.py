"""A process of the team's benchmark: one large checkpoint through the proxy, in one direction.

    python transfers.py <upload|download> <tracker|mlflow> <megabytes> <run id> <name>

Prints the seconds that it took, begun when everything is imported and the model is there.
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
        run_id=run_id, artifact_path=f"{name}.pt", dst_path=str(Path.cwd())
    )
    model.load_state_dict(torch.load(file, weights_only=True, mmap=True))


ACTIONS = {
    ("upload", "tracker"): upload_with_tracker,
    ("upload", "mlflow"): upload_with_mlflow,
    ("download", "tracker"): download_with_tracker,
    ("download", "mlflow"): download_with_mlflow,
}


def main() -> None:
    direction, who, megabytes, run_id, name = sys.argv[1:]
    torch.manual_seed(int(name))
    model = large_model(float(megabytes))
    mlflow.MlflowClient().get_run(run_id)  # the first request of a process imports and connects
    begun = time.perf_counter()
    ACTIONS[direction, who](model, run_id, name)
    print(json.dumps({"seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    main()
