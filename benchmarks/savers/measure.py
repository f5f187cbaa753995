"""Measures one contender with one state, in this process and the current directory."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from savers.contenders import ARTIFACTS, CONTENDERS, MEMORY_COPY, Save
from savers.state import Net, change, make, size_of

Result = dict[str, float]

SAVES = 3
"""Checkpoints of each measurement, after the first, cold one."""

PATIENCE = 8.0
"""Seconds; who takes longer for a call is asked for one checkpoint instead of several."""

TRAINING_SECONDS = 1.0
"""For so long training is watched, at least: without checkpoints before and after, and with."""


def measure(who: str, megabytes: float) -> Result:
    """Return what a contender does; what it started with is on the disk before."""
    ARTIFACTS.mkdir(exist_ok=True)
    model, numbers = make(megabytes), itertools.count(1)
    save = CONTENDERS[who]()
    os.sync()
    result: Result = {"state": size_of(model)}
    result |= one_at_a_time(save, model, numbers)
    if who != MEMORY_COPY and bytes_on_disk() < result["state"]:
        raise SystemExit(f"{who} writes elsewhere than into {ARTIFACTS.resolve()}.")
    remove_checkpoints()
    result |= one_after_another(save, model, numbers, saves_of(result["cold"]))
    result |= frozen(save, model, numbers)
    remove_checkpoints()
    return result | beside_training(save, model, numbers)


def one_at_a_time(save: Save, model: Net, numbers: Iterator[int]) -> Result:
    """Measure how long a call takes when the last checkpoint is done, and the memory it costs.

    ``cold`` is the first, which meets no memory from an earlier one; ``wait`` those after it.
    """
    before = resident("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    waits: list[float] = []
    durables: list[float] = []
    while len(waits) < 1 + saves_of(waits[0] if waits else 0.0):
        change(model.parameters())
        start = time.perf_counter()
        pending = save(model, next(numbers))
        waits.append(time.perf_counter() - start)
        pending.result()
        durables.append(time.perf_counter() - start)
    return {
        "cold": waits[0],
        "wait": statistics.median(waits[1:]),
        "durable": statistics.median(durables[1:]),
        "memory": max(0, resident("VmHWM:") - before),
    }


def saves_of(cold: float) -> int:
    return SAVES if cold < PATIENCE else 1


def one_after_another(save: Save, model: Net, numbers: Iterator[int], saves: int) -> Result:
    """Measure how long checkpoints take to be on the disk that are handed over without a pause."""
    pending = []
    seconds = 0.0
    for _ in range(saves):
        change(model.parameters())
        start = time.perf_counter()
        pending.append(save(model, next(numbers)))
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    for each in pending:
        each.result()
    return {"sustained": (seconds + time.perf_counter() - start) / saves}


def frozen(save: Save, model: Net, numbers: Iterator[int]) -> Result:
    """Measure what a checkpoint adds to the disk if only the head has changed."""
    before = bytes_on_disk()
    change(model.head.parameters())
    save(model, next(numbers)).result()
    return {"frozen": bytes_on_disk() - before}


def beside_training(save: Save, model: Net, numbers: Iterator[int]) -> Result:
    """Measure what training loses by a checkpoint, and how slow it is until that is on the disk."""
    training = Training()
    before = training.seconds_of_a_step()
    saves, steps, waited, beside = 0, 0, 0.0, 0.0
    while waited + beside < TRAINING_SECONDS:
        change(model.parameters())
        start = time.perf_counter()
        pending = save(model, next(numbers))
        returned = time.perf_counter()
        while not pending.done():
            training.step()
            steps += 1
        waited, beside = waited + returned - start, beside + time.perf_counter() - returned
        saves += 1
        pending.result()
        remove_checkpoints()
    alone = steps * (before + training.seconds_of_a_step()) / 2
    return {
        "lost": (waited + max(0.0, beside - alone)) / saves,
        "slowdown": beside / alone if steps else float("inf"),
    }


class Training:
    """A training loop of small steps on every core; its model is none that is saved."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.batch = torch.randn(128, 512)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(self.batch).square().mean().backward()
        self.optimizer.step()

    def seconds_of_a_step(self) -> float:
        start = time.perf_counter()
        for count in itertools.count(1):
            self.step()
            if time.perf_counter() - start > TRAINING_SECONDS:
                return (time.perf_counter() - start) / count
        raise AssertionError("unreachable")


def resident(line: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(line)[2].split()[0]) * 1024


def bytes_on_disk() -> int:
    return sum(path.stat().st_size for path in ARTIFACTS.rglob("*") if path.is_file())


def remove_checkpoints() -> None:
    """Make room; nobody needs those that were measured."""
    shutil.rmtree(ARTIFACTS)
    ARTIFACTS.mkdir()
