"""A process of the team's benchmark: clients that log checkpoints and ask for them.

Each is a thread with a run of its own; all go through the one URL.

    python clients.py <process number> <threads> <rounds>

When all is imported it prints ``ready`` and begins at a line on its standard input. It prints what
it measured as JSON.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlflow
from torch import nn

import tracker
from tracker.errors import NotFoundError

EXPERIMENT = "team"
WIDTH = 64

QUESTIONS: dict[str, Callable[[], object]] = {
    "best of the experiment": lambda: tracker.best_checkpoint("val_loss", experiment=EXPERIMENT),
    "newest 20": lambda: tracker.search_checkpoints(experiment=EXPERIMENT, max_results=20),
}

Times = dict[str, list[float]]
"""Seconds of each call, by what it was."""


def client(run_id: str, rounds: int) -> Times:
    """Log checkpoints and ask for them, as a training job and the person who watches it do."""
    times: Times = defaultdict(list)

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = call()
        times[name].append(time.perf_counter() - begun)
        return result

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
    for epoch in range(rounds):
        begun = time.perf_counter()
        pending = tracker.log_checkpoint(
            model, epoch=epoch, metrics={"val_loss": 1.0 / (epoch + 1)}, run_id=run_id
        )
        times["training waits"].append(time.perf_counter() - begun)
        pending.result(timeout=600)
        times["checkpoint logged"].append(time.perf_counter() - begun)
        best = timed("best of a run", lambda: tracker.best_checkpoint("val_loss", run_id=run_id))
        assert best.epoch == epoch, f"{run_id}: {best.epoch} is not the best, but {epoch}"
        for name, question in QUESTIONS.items():
            timed(name, question)
    return times


def main() -> None:
    number, threads, rounds = (int(part) for part in sys.argv[1:])
    api = mlflow.MlflowClient()
    experiment = api.get_experiment_by_name(EXPERIMENT)
    runs = [
        api.create_run(experiment.experiment_id, run_name=f"client-{number}-{each}")
        for each in range(threads)
    ]
    with contextlib.suppress(NotFoundError):  # the first question of a process imports and connects
        tracker.search_checkpoints(experiment=EXPERIMENT)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.time()
    with ThreadPoolExecutor(threads) as pool:
        measured = list(pool.map(lambda run: client(run.info.run_id, rounds), runs))
    ended = time.time()
    times = {name: [s for each in measured for s in each[name]] for name in measured[0]}
    run_ids = [run.info.run_id for run in runs]
    print(json.dumps({"times": times, "begun": begun, "ended": ended, "run_ids": run_ids}))


if __name__ == "__main__":
    main()
