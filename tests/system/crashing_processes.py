"""A fork server: it has imported everything, so a process costs milliseconds instead of seconds.

It has started no thread and opened no database, so a process that it forks is like a fresh one. It
reads orders, one JSON line each, and answers with what became of the process. What there is to
import it learns from a process that came to its end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.system import crashing_training
from tracker import api
from tracker.saving.environment import environment

MODULES = "modules.json"
STEPS = "steps.json"
OUTPUT = "output.txt"


class Steps(logging.Handler):
    """Counts the steps that tracker announces, and kills the process at one of them."""

    def __init__(self, kill_at: list[Any] | None) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self._deadly = tuple(kill_at) if kill_at else None

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.DEBUG:
            return  # what is worth telling is no step
        step = record.getMessage().split(":")[0]
        self.seen[step] += 1
        if (step, self.seen[step]) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    torch.set_num_threads(1)
    environment([crashing_training.__name__])  # asks git, once for all processes
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["task"] == "import":
            print(json.dumps(import_all(order["modules"])), flush=True)
            continue
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            work(order, lambda: os.write(writing, b"."))  # noqa: B023 - it leaves the loop
            return
        os.close(writing)
        print(json.dumps(watch(child, reading, order)), flush=True)
        os.close(reading)


def import_all(names: list[str]) -> int:
    """Import modules, and return how many threads there are then."""
    for name in names:
        with contextlib.suppress(ModuleNotFoundError):  # parts of extensions have no file
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else every process would copy all pages of memory when it collects garbage
    return threading.active_count()


def watch(child: int, begun: int, order: dict[str, Any]) -> dict[str, Any]:
    """Kill a process, or its victim, so many seconds after it has begun; wait for its end."""
    os.read(begun, 1)
    started = time.monotonic()
    # What we read ends when the process does.
    ended, _, _ = select.select([begun], [], [], order["kill_after"])
    if not ended and order["victim"]:
        os.killpg(order["victim"], signal.SIGKILL)
    elif not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    return {"status": os.waitstatus_to_exitcode(status), "seconds": seconds}


def work(order: dict[str, Any], begun: Callable[[], object]) -> None:
    """Become a process that does what is ordered; it ends as every process of Python's does."""
    output = os.open(
        Path(order["directory"], OUTPUT), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["directory"])
    os.environ.update(order["variables"])
    steps = Steps(order["kill_at"])
    for name in ("tracker.saving", "tracker.format"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).addHandler(steps)
        logging.getLogger(name).propagate = False
    if order["task"] == "train":
        with beside(order["processes"] - 1):
            # Of several, one that is slow to begin would go on in the run of another.
            crashing_training.train(begun, anew=order["processes"] > 1)
            api.flush()
    else:
        begun()
        assert not [each.error for each in api.sync() if each.error]
    Path(STEPS).write_text(json.dumps(steps.seen))
    Path(MODULES).write_text(json.dumps(sorted(sys.modules)))


@contextlib.contextmanager
def beside(others: int) -> Iterator[None]:
    """Run the block in so many other processes, too; at its end wait for them."""
    children: list[int] = []
    while len(children) < others:
        child = os.fork()
        if child == 0:
            children, others = [], 0
            break
        children.append(child)
    yield
    for child in children:
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise ChildProcessError(f"Process {child} ended with {status}.")


if __name__ == "__main__":
    main()
