"""A process of the team's benchmark: clients that train, or clients that ask, each in a thread.

    python clients.py train <process number> <threads> <rounds>
    python clients.py ask <process number> <threads>

All go through the one URL. When everything is imported it prints the runs that it made, as JSON,
and begins when a line with all runs comes on its standard input. Who asks goes on until that is
closed. It prints what it measured as JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import mlflow
from torch import nn

import tracker
from tracker.errors import NotFoundError

EXPERIMENT = "team"
WIDTH = 64

Times = dict[str, list[float]]
"""Seconds of each call, by what it was."""


def train(run_id: str, rounds: int) -> Times:
    """Log checkpoints, each when MLflow has the one before."""
    times: Times = {"training waits": [], "checkpoint logged": []}
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
    for epoch in range(rounds):
        begun = time.perf_counter()
        pending = tracker.log_checkpoint(
            model, epoch=epoch, metrics={"val_loss": 1.0 / (epoch + 1)}, run_id=run_id
        )
        times["training waits"].append(time.perf_counter() - begun)
        pending.result(timeout=600)
        times["checkpoint logged"].append(time.perf_counter() - begun)
    best = tracker.best_checkpoint("val_loss", run_id=run_id)
    assert best.epoch == rounds - 1, f"{run_id}: the last epoch is the best, not {best.epoch}"
    return times


def ask(run_ids: list[str], first: int, ended: threading.Event) -> Times:
    """Ask the usual questions, of one run after the other."""
    times: Times = {}
    for number in itertools.count(first):
        for name, question in questions(run_ids[number % len(run_ids)]).items():
            if ended.is_set():
                return times
            begun = time.perf_counter()
            with contextlib.suppress(NotFoundError):  # the run has no checkpoint yet
                question()
            times.setdefault(name, []).append(time.perf_counter() - begun)
    raise AssertionError("counted to the end")


def questions(run_id: str) -> dict[str, Callable[[], object]]:
    return {
        "best of a run": lambda: tracker.best_checkpoint("val_loss", run_id=run_id),
        "best of the experiment": lambda: tracker.best_checkpoint(
            "val_loss", experiment=EXPERIMENT
        ),
        "newest 20": lambda: tracker.search_checkpoints(experiment=EXPERIMENT, max_results=20),
    }


def make_runs(number: int, threads: int) -> list[str]:
    api = mlflow.MlflowClient()
    experiment = api.get_experiment_by_name(EXPERIMENT)
    names = [f"client-{number}-{thread}" for thread in range(threads)]
    return [api.create_run(experiment.experiment_id, run_name=n).info.run_id for n in names]


def main() -> None:
    what, number, threads, *rounds = sys.argv[1], *map(int, sys.argv[2:])
    own = make_runs(number, threads) if what == "train" else []
    with contextlib.suppress(NotFoundError):  # the first question of a process imports and connects
        tracker.search_checkpoints(experiment=EXPERIMENT)
    print(json.dumps(own), flush=True)
    run_ids = json.loads(sys.stdin.readline())
    begun, ended = time.time(), threading.Event()
    with ThreadPoolExecutor(threads) as pool:
        if what == "train":
            pending = [pool.submit(train, run_id, rounds[0]) for run_id in own]
        else:
            pending = [
                pool.submit(ask, run_ids, number * threads + thread, ended)
                for thread in range(threads)
            ]
            sys.stdin.read()
            ended.set()
        measured = [each.result() for each in pending]
    seconds = time.time() - begun
    times: Times = {}
    for each in measured:
        for name, found in each.items():
            times.setdefault(name, []).extend(found)
    print(json.dumps({"times": times, "seconds": seconds}))


if __name__ == "__main__":
    main()
