"""Trainings in Lightning, Transformers and Ignite: what their checkpoints in MLflow cost.

Each training runs three times: without checkpoints; with those of the framework, uploaded to MLflow
as its users do it (``MLFlowLogger(log_model="all")``, ``HF_MLFLOW_LOG_ARTIFACTS=1``, ``DiskSaver``
and ``mlflow.log_artifact``); and with tracker's. A checkpoint at every epoch holds weights and
optimizer. Every training is a process of its own, and the ways take turns at going first; all log
the same metrics. The time ends when the last checkpoint is saved. Needs Linux.

    python benchmarks/frameworks.py --repeat 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for the process that is forked

Results = dict[str, dict[str, float]]
"""By way."""

FRAMEWORKS = {
    "lightning": ("Lightning", "lightning"),
    "transformers": ("Trainer of Transformers", "transformers"),
    "ignite": ("Ignite", "pytorch-ignite"),
}
"""What they are called, and their packages."""

WAYS = {
    "none": "no checkpoints",
    "own": "its own, uploaded to MLflow",
    "tracker": "tracker",
}

SIZES = {
    "0.2 MB": {"hidden": 64, "epochs": 4, "batches": 20},
    "160 MB": {"hidden": 2560, "epochs": 4, "batches": 6},
}
"""Of a checkpoint: the weights, and twice as much of Adam."""

QUICK = {"0.2 MB": {"hidden": 64, "epochs": 2, "batches": 2}}


def run(frameworks: list[str], size: dict[str, int], options: argparse.Namespace) -> dict[str, Any]:
    """Measure all ways of all frameworks in turn; return the medians by framework and way."""
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as started:
        in_a_process(started, make_database)
        for turn in range(options.repeat):
            first = turn % len(options.way)
            for framework in frameworks:
                for way in options.way[first:] + options.way[:first]:
                    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
                        shutil.copy(Path(started) / "mlflow.db", folder)
                        found = in_a_process(folder, train, framework, way, size, options.threads)
                        samples.setdefault((framework, way), []).append(found)
    medians = {
        key: {name: statistics.median(each[name] for each in found) for name in found[0]}
        for key, found in samples.items()
    }
    return {f: {way: medians[f, way] for way in options.way} for f in frameworks}


def make_database() -> None:
    """Make MLflow's tables, which takes seconds, once for all."""
    from mlflow.tracking import MlflowClient

    MlflowClient("sqlite:///mlflow.db").search_experiments()


def train(framework: str, way: str, size: dict[str, int], threads: int) -> dict[str, float]:
    from trainings.job import Job
    from trainings.measure import measure

    return measure(framework, Job(way, **size), threads)


def in_a_process(folder: str, work: Any, *arguments: Any) -> Any:
    """Call a function in a process of its own, in a folder; what it prints is not shown."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=answer, args=(there, folder, work, *arguments))
    process.start()
    there.close()
    try:
        succeeded, outcome = here.recv()
    except EOFError:
        process.join()
        raise SystemExit(f"{arguments} ended with status {process.exitcode}.") from None
    process.join()
    if not succeeded:
        raise SystemExit(f"{arguments} failed:\n{outcome}")
    return outcome


def answer(connection: Any, folder: str, work: Any, *arguments: Any) -> None:
    os.chdir(folder)
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "TRACKER_", "HF_"))]:
        del os.environ[name]
    os.environ["TRACKER_SPOOL_DIR"] = os.environ["TRACKER_CACHE_DIR"] = str(Path(folder) / "cache")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        connection.send((True, work(*arguments)))
    except BaseException:  # noqa: BLE001 - it is shown by who asked
        connection.send((False, traceback.format_exc()))


CONTEXT = multiprocessing.get_context("forkserver")
"""Forks every training from a process that has imported the frameworks, and done nothing else."""


def table(results: dict[str, Results], size: str, epochs: int) -> Iterator[str]:
    yield f"checkpoints of {size}, {epochs} of them"
    yield (
        f"{'':<26}{'':<30}{'seconds':>9}{'x':>7}{'a checkpoint adds':>19}"
        f"{'stored':>10}{'memory':>10}"
    )
    for framework, ways in results.items():
        alone = next(iter(ways.values()))["seconds"]
        for way, result in ways.items():
            added = (result["seconds"] - alone) / epochs
            yield (
                f"{FRAMEWORKS[framework][0]:<26}{WAYS[way]:<30}{result['seconds']:>9.2f}"
                f"{result['seconds'] / alone:>7.2f}"
                f"{f'{added * 1e3:.0f} ms' if way != 'none' else '':>19}"
                f"{result['bytes'] / 1e6:>7.1f} MB{result['memory'] / 1e6:>7.0f} MB"
            )


LEGEND = """\
seconds            the training, until its last checkpoint is saved
x                  against the same training without checkpoints
a checkpoint adds  time to the training
stored             on the disk in the end, for MLflow and by the framework
memory             most that was resident, beyond what was before the training
"""


def conditions(options: argparse.Namespace) -> str:
    """Return what the numbers depend on; the load tells what else the machine is doing."""
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    packages = ["torch", "mlflow", *(package for _, package in FRAMEWORKS.values())]
    return (
        f"{os.cpu_count()} cores, {options.threads} threads, load {loads}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--framework", nargs="+", choices=FRAMEWORKS, default=[*FRAMEWORKS])
    parser.add_argument("--way", nargs="+", choices=WAYS, default=[*WAYS], help="the first is 1 x")
    parser.add_argument("--size", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--quick", action="store_true", help="the small one, once, a few batches")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.repeat = 1 if options.quick else options.repeat
    sizes = QUICK if options.quick else {size: SIZES[size] for size in options.size}
    CONTEXT.set_forkserver_preload([f"trainings.in_{name}" for name in options.framework])
    results: dict[str, Any] = {}
    for name, size in sizes.items():
        before = conditions(options)
        results[name] = found = run(options.framework, size, options)
        if not options.json:
            print(before, *table(found, name, size["epochs"]), "", sep="\n", flush=True)
    print(json.dumps(results, indent=2) if options.json else LEGEND)


if __name__ == "__main__":
    main()
