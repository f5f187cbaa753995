"""Checkpoints of 1 MB to 2 GB while training goes on: how long it waits, and what they cost.

Every measurement is a process of its own, and the contenders take turns at going first, all on one
disk. A call's time ends when training may go on; a checkpoint is done when its bytes are on the
disk (what does not sync by itself is synced). All numbers of the state change between checkpoints,
but for the frozen ones, of which one percent does. The table shows medians; the goals below it are
those for 500 MB. Needs Linux, and disk space for ten times the largest state.

    python benchmarks/saving.py --megabytes 1 50 500 2000 --repeat 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from savers.contenders import (
    CONTENDERS,
    LOG_MODEL,
    LOG_MODEL_PICKLED,
    MEMORY_COPY,
    RAW_WRITE,
    SYNCED_WRITE,
    TORCH_SAVE,
    TRACKER,
)
from savers.measure import Result, measure

Results = dict[str, Result]
"""By contender."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two measurements, each of a contender, and what it should be."""

    text: str
    over: tuple[str, str]
    under: tuple[str, str]
    relation: str
    wanted: float

    def is_reached(self, ratio: float) -> bool:
        return ratio >= self.wanted if self.relation == ">=" else ratio <= self.wanted


WAIT, SUSTAINED = (TRACKER, "wait"), (TRACKER, "sustained")
GOALS = [
    Goal("torch.save + log_artifact waits x tracker", (TORCH_SAVE, "wait"), WAIT, ">=", 10),
    Goal("mlflow.pytorch.log_model waits x tracker", (LOG_MODEL, "wait"), WAIT, ">=", 50),
    Goal("log_model at its fastest waits x tracker", (LOG_MODEL_PICKLED, "wait"), WAIT, ">=", 50),
    Goal("tracker waits x memory copies", WAIT, (MEMORY_COPY, "wait"), "<=", 2),
    Goal("throughput / raw, each synced", (SYNCED_WRITE, "sustained"), SUSTAINED, ">=", 0.8),
    Goal("throughput / raw, synced at the end", (RAW_WRITE, "sustained"), SUSTAINED, ">=", 0.8),
    Goal("frozen / torch.save, bytes", (TRACKER, "frozen"), (TORCH_SAVE, "frozen"), "<=", 0.02),
    Goal("extra memory / state", (TRACKER, "memory"), (TRACKER, "state"), "<=", 1.2),
]


def run(contenders: list[str], megabytes: float, repeat: int, directory: Path) -> Results:
    """Measure the contenders in turn; return the medians."""
    samples: dict[str, list[Result]] = {who: [] for who in contenders}
    with tempfile.TemporaryDirectory(dir=directory) as started:
        in_a_process(TRACKER, 0.1, Path(started))  # makes the databases
        for turn in range(repeat):
            first = turn % len(contenders)
            for who in contenders[first:] + contenders[:first]:
                with tempfile.TemporaryDirectory(dir=directory) as folder:
                    shutil.copy(Path(started) / "mlflow.db", folder)
                    samples[who].append(in_a_process(who, megabytes, Path(folder)))
    return {
        who: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for who, found in samples.items()
    }


def in_a_process(who: str, megabytes: float, folder: Path) -> Result:
    command = [sys.executable, __file__, "--child", who, "--megabytes", str(megabytes)]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "PYTHONPATH": str(Path(__file__).parent),  # for who loads the model to look into it
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{who} failed with {megabytes:g} MB:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(results: Results, megabytes: float) -> Iterator[str]:
    yield f"{megabytes:g} MB"
    yield (
        f"{'':<40}{'waits':>9}{'first':>9}{'x':>8}{'on disk':>9}{'MB/s':>7}{'memory':>8}"
        f"{'frozen':>8}{'lost':>9}{'slower':>8}"
    )
    for who, result in results.items():
        state = result["state"]
        yield (
            f"{who:<40}{milliseconds(result['wait']):>9}{milliseconds(result['cold']):>9}"
            f"{result['wait'] / next(iter(results.values()))['wait']:>8.1f}"
            f"{milliseconds(result['durable']):>9}{state / 1e6 / result['sustained']:>7.0f}"
            f"{result['memory'] / state:>8.2f}{result['frozen'] / state:>8.3f}"
            f"{milliseconds(result['lost']):>9}{result['slowdown']:>8.2f}"
        )


def goals(results: Results) -> Iterator[str]:
    for goal in GOALS:
        (who, what), (other, of_other) = goal.over, goal.under
        if who in results and other in results:
            ratio = results[who][what] / results[other][of_other]
            verdict = "yes" if goal.is_reached(ratio) else "NO"
            yield f"{goal.text:<42}{ratio:>9.3f}  {goal.relation} {goal.wanted:<5g} {verdict}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.{1 if seconds < 0.1 else 0}f} ms"


def conditions(directory: Path) -> str:
    """Return what the numbers depend on; the load tells what else the machine is doing."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, load {loads}, "
        f"{shutil.disk_usage(directory).free / 1e9:.0f} GB free on the disk, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"torch {version('torch')}, mlflow {version('mlflow')}"
    )


LEGEND = """\
waits    a call, when the checkpoint before is done    first   the first call of a process
x        waits, against the first in the table         on disk from the call until it is there
MB/s     checkpoints handed over without a pause       memory  resident, against the state
frozen   bytes on the disk against the state, 1 % changed
lost     training time for each checkpoint             slower  training until it is on the disk
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 50, 500, 2000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--contender", nargs="+", choices=CONTENDERS, default=[*CONTENDERS])
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", metavar="WHO", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.megabytes[0])))
        return
    results: dict[str, Results] = {}
    for megabytes in options.megabytes:
        before = conditions(options.directory)
        results[f"{megabytes:g}"] = found = run(
            options.contender, megabytes, options.repeat, options.directory
        )
        if not options.json:
            print(before, *table(found, megabytes), *goals(found), "", sep="\n", flush=True)
    print(json.dumps(results, indent=2) if options.json else LEGEND)


if __name__ == "__main__":
    main()
