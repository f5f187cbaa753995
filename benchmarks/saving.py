"""Checkpoints of 1 MB to 2 GB while training goes on: how long it waits, and what they cost.

Every measurement is a process of its own, and the contenders take turns at going first, all on one
disk. A call's time ends when training may go on; a checkpoint is done when its bytes are on the
disk (what does not sync by itself is synced). All numbers of the state change between checkpoints,
but for the frozen ones, of which one percent does. The table shows medians. Needs Linux, and disk
space for ten times the largest state.

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
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from savers.contenders import (
    CONTENDERS,
    LOG_MODEL,
    LOG_MODEL_PICKLED,
    MEMORY_COPY,
    RAW_WRITE,
    TORCH_SAVE,
    TRACKER,
)
from savers.measure import Result, measure

Results = dict[str, Result]
"""By contender."""

GOALS: dict[str, tuple[Callable[[Results], float], str, float]] = {
    "waits less than torch.save + log_artifact": (
        lambda of: of[TORCH_SAVE]["wait"] / of[TRACKER]["wait"],
        ">=",
        10,
    ),
    "waits less than mlflow.pytorch.log_model": (
        lambda of: of[LOG_MODEL]["wait"] / of[TRACKER]["wait"],
        ">=",
        50,
    ),
    "the same, where log_model is at its fastest": (
        lambda of: of[LOG_MODEL_PICKLED]["wait"] / of[TRACKER]["wait"],
        ">=",
        50,
    ),
    "waits for memory copies of the state": (
        lambda of: of[TRACKER]["wait"] / of[MEMORY_COPY]["wait"],
        "<=",
        2,
    ),
    "throughput against a raw write": (
        lambda of: of[RAW_WRITE]["sustained"] / of[TRACKER]["sustained"],
        ">=",
        0.8,
    ),
    "bytes of a frozen model against torch.save": (
        lambda of: of[TRACKER]["frozen"] / of[TORCH_SAVE]["frozen"],
        "<=",
        0.02,
    ),
    "extra memory against the state": (
        lambda of: of[TRACKER]["memory"] / of[TRACKER]["state"],
        "<=",
        1.2,
    ),
}


def run(megabytes: float, repeat: int, directory: Path) -> Results:
    """Measure every contender in turn; return the medians."""
    samples: dict[str, list[Result]] = {who: [] for who in CONTENDERS}
    with tempfile.TemporaryDirectory(dir=directory) as started:
        in_a_process(TRACKER, 0.1, Path(started))  # makes the databases
        for turn in range(repeat):
            first = turn % len(CONTENDERS)
            for who in [*CONTENDERS][first:] + [*CONTENDERS][:first]:
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
            f"{result['wait'] / results[TRACKER]['wait']:>8.1f}"
            f"{milliseconds(result['durable']):>9}{state / 1e6 / result['sustained']:>7.0f}"
            f"{result['memory'] / state:>8.2f}{result['frozen'] / state:>8.3f}"
            f"{milliseconds(result['lost']):>9}{result['slowdown']:>8.2f}"
        )


def goals(results: Results) -> Iterator[str]:
    for goal, (ratio, relation, wanted) in GOALS.items():
        found = ratio(results)
        reached = found >= wanted if relation == ">=" else found <= wanted
        yield f"{goal:<46}{found:>9.3f}  {relation} {wanted:<5g} {'yes' if reached else 'NO'}"


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
x        waits, against tracker                        on disk from the call until it is there
MB/s     checkpoints handed over without a pause       memory  resident, against the state
frozen   bytes on the disk against the state, 1 % changed
lost     training time for each checkpoint             slower  training until it is on the disk
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 50, 500, 2000])
    parser.add_argument("--repeat", type=int, default=3)
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
        results[f"{megabytes:g}"] = found = run(megabytes, options.repeat, options.directory)
        if not options.json:
            print(before, *table(found, megabytes), *goals(found), "", sep="\n", flush=True)
    print(json.dumps(results, indent=2) if options.json else LEGEND)


if __name__ == "__main__":
    main()
