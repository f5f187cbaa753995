"""Measures one training, in a process of its own and the current directory."""

from __future__ import annotations

import importlib
import os
import time
import warnings
from pathlib import Path

import mlflow
import torch

from trainings.job import Job

Result = dict[str, float]

EXPERIMENT = "trainings"


def measure(framework: str, job: Job, threads: int) -> Result:
    """Return how long a training took, until its last checkpoint was saved, and what it cost."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    if job.way == "tracker":
        import tracker  # before the model is made, as in a script  # noqa: F401
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    artifacts = Path("mlruns").resolve()
    mlflow.create_experiment(EXPERIMENT, artifacts.as_uri())
    train = importlib.import_module(f"trainings.in_{framework}").prepare(job, EXPERIMENT)
    os.sync()
    before = resident("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    start = time.perf_counter()
    train()
    mlflow.end_run()
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "bytes": sum(f.stat().st_size for f in Path().rglob("*") if counts(f)),
        "memory": max(0, resident("VmHWM:") - before),
    }


def counts(file: Path) -> bool:
    """Return whether a file is one of a checkpoint: the database is none."""
    return file.is_file() and not file.is_symlink() and not file.name.startswith("mlflow.db")


def resident(key: str) -> int:
    """Return what the kernel says of this process's resident memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024
