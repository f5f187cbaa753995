"""A 500 MB model found and loaded, against search_runs with torch.load and mlflow's load_model.

Every measurement is a process of its own, and the contenders take turns at going first: under a
hypervisor, who touches memory first pays for it. The table shows the median, fastest and slowest.
The rows:

    find    the checkpoint with the best loss of an experiment, and its model; mlflow, torch and
            tracker are imported (tracker imports most of itself when it is used, which counts), but
            nothing was asked before
    load    the model of a checkpoint that is known
    resume  model and optimizer
    list    a whole process: the command line's list, from its start to its end

Loading begins with the files in the page cache and ends when every weight was read; a first turn,
in which Python compiles what is imported, does not count (with --repeat 1 it is the only one).
Memory is the process's peak above what it held just before. What was loaded is compared byte by
byte with what was saved. Needs Linux.

    python benchmarks/loading.py --megabytes 500 --repeat 5
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pytorch
import torch
from torch import Tensor, nn

import tracker

Result = dict[str, float]


class Net(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        sizes = [width, 4 * width] * depth + [width]
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sizes)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def construct(megabytes: float) -> Net:
    width = 1024 if megabytes >= 64 else 64
    return Net(max(1, round(megabytes * 1e6 / (4 * 8 * width * width))), width)


def make(megabytes: float) -> tuple[Net, torch.optim.Adam]:
    """Return a model of about that size, with a filled optimizer; always the same."""
    torch.manual_seed(0)
    model = construct(megabytes)
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


@contextlib.contextmanager
def measured() -> Iterator[Result]:
    """Measure seconds and the peak of resident bytes above now."""

    def resident(line: str) -> int:
        return int(Path("/proc/self/status").read_text().partition(line)[2].split()[0]) * 1024

    result: Result = {}
    os.sync()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, start = resident("VmRSS:"), time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - start
    result["memory"] = max(0, resident("VmHWM:") - before)


def save(rows: list[str], megabytes: float) -> None:
    """Save the model in every way that is loaded from, among others that are worse."""
    model, optimizer = make(megabytes)
    torch.save(model.state_dict(), "model.pt")
    torch.save(state_of(model, optimizer), "state.pt")
    example = torch.zeros(1, model.layers[0].in_features).numpy()
    with run_in("tracker"):
        tracker.log_checkpoint(model, epoch=1, metrics={"val_loss": 0.1}, optimizer=optimizer)
        for epoch in range(2, 8):
            tracker.log_checkpoint(nn.Linear(1, 1), epoch=epoch, metrics={"val_loss": epoch})
    with run_in("by hand"):
        mlflow.log_metric("val_loss", 0.1)
        mlflow.log_artifact("model.pt")
    formats = [name for name in FORMATS if f"find mlflow load_model, {name}" in rows]
    for experiment in formats:
        with run_in(experiment):
            mlflow.log_metric("val_loss", 0.1)
            options = FORMATS[experiment]
            mlflow.pytorch.log_model(model, name="model", input_example=example, **options)
    for experiment in ("by hand", *formats):
        for loss in range(2, 8):
            with run_in(experiment):
                mlflow.log_metric("val_loss", loss)


def run_in(experiment: str) -> mlflow.ActiveRun:
    mlflow.set_experiment(experiment)
    return mlflow.start_run()


FORMATS: dict[str, dict[str, Any]] = {
    "pickled": {"serialization_format": "pickle", "pip_requirements": ["torch"]},
    "graph": {"serialization_format": "pt2", "pip_requirements": ["torch"]},
}
"""What mlflow.pytorch.log_model makes of a model, by experiment."""


def state_of(model: Net, optimizer: torch.optim.Adam) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def best_run(experiment: str) -> str:
    runs = mlflow.search_runs(
        experiment_names=[experiment], order_by=["metrics.val_loss ASC"], max_results=1
    )
    return runs.iloc[0].run_id


def find_tracker(_: float) -> nn.Module:
    return tracker.best_checkpoint("val_loss", experiment="tracker").load_model()


def find_by_hand(megabytes: float) -> nn.Module:
    """What a user types who remembers the constructor's arguments and what the file is called."""
    path = mlflow.artifacts.download_artifacts(
        run_id=best_run("by hand"), artifact_path="model.pt", dst_path="downloaded"
    )
    model = construct(megabytes)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def find_mlflow(_: float, experiment: str) -> nn.Module:
    return mlflow.pytorch.load_model(f"runs:/{best_run(experiment)}/model")


def load_tracker(_: float, verify: bool = True) -> nn.Module:
    return tracker.get_checkpoint(epoch=1).load_model(verify=verify)


def load_torch(megabytes: float) -> nn.Module:
    """What a user types who remembers the constructor's arguments."""
    model = construct(megabytes)
    model.load_state_dict(torch.load("model.pt", weights_only=True))
    return model


def load_torch_mapped(megabytes: float) -> nn.Module:
    """What a user types who also knows how to spare time and memory."""
    with torch.device("meta"):
        model = construct(megabytes)
    model.load_state_dict(torch.load("model.pt", weights_only=True, mmap=True), assign=True)
    return model


def resume_tracker(model: Net, optimizer: torch.optim.Adam) -> None:
    tracker.resume(tracker.get_checkpoint(epoch=1), model=model, optimizer=optimizer)


def resume_torch(model: Net, optimizer: torch.optim.Adam) -> None:
    state = torch.load("state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])


CONTENDERS: dict[str, dict[str, Callable[..., Any]]] = {
    "find": {
        "tracker": find_tracker,
        "search_runs, torch.load": find_by_hand,
        **{f"mlflow load_model, {name}": partial(find_mlflow, experiment=name) for name in FORMATS},
    },
    "load": {
        "tracker": load_tracker,
        "tracker, unverified": partial(load_tracker, verify=False),
        "torch.load + model": load_torch,
        "torch.load, mapped": load_torch_mapped,
        "torch.load, file only": lambda _: torch.load("model.pt", weights_only=True),
    },
    "resume": {"tracker": resume_tracker, "torch.load": resume_torch},
}
COMMANDS = {
    "tracker": ["-m", "tracker", "list", "--experiment", "tracker"],
    "mlflow runs": ["-m", "mlflow", "runs", "list", "--experiment-id", "1"],
}

ROWS = [f"{what} {who}" for what, every in CONTENDERS.items() for who in every]
ROWS += [f"list {who}" for who in COMMANDS]


def child(what: str, who: str, megabytes: float) -> Result:
    """Run one measurement in this process; what was loaded must be what was saved."""
    contender = CONTENDERS[what][who]
    for file in (*Path().glob("*.pt"), *Path("mlruns").rglob("*")):
        if file.is_file():
            file.read_bytes()
    if what != "find":
        tracker.get_checkpoint(epoch=1)  # the catalog is open
    if what == "resume":
        model = construct(megabytes)
        optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
        with measured() as result:
            contender(model, optimizer)
        check_equal(state_of(model, optimizer), state_of(*make(megabytes)))
        return result
    with measured() as result:
        loaded = contender(megabytes)
        state = loaded if isinstance(loaded, dict) else loaded.state_dict()
        for tensor in state.values():
            tensor.sum()  # or else mapping would look like loading
    check_equal(dict(state), dict(make(megabytes)[0].state_dict()))
    return result


def list_once(who: str, folder: str) -> Result:
    """Time a command line, from the start of the process to its end."""
    start = time.perf_counter()
    python([*COMMANDS[who]], folder)
    return {"seconds": time.perf_counter() - start, "memory": 0.0}


def check_equal(found: Any, wanted: Any) -> None:
    """Compare nested states: tensors byte by byte, everything else by value."""
    if isinstance(wanted, dict) and found.keys() == wanted.keys():
        for key in wanted:
            check_equal(found[key], wanted[key])
    elif isinstance(wanted, Tensor):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert torch.equal(bytes_of(found), bytes_of(wanted))
    else:
        assert found == wanted


def bytes_of(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def run(rows: list[str], megabytes: float, repeat: int, directory: Path) -> dict[str, Result]:
    """Measure some rows; return median, fastest and slowest of each."""
    samples: dict[str, list[Result]] = {row: [] for row in rows}
    turns = 1 if repeat == 1 else repeat + 1
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        if turns > 1:  # the first fills caches: Python's of bytecode, and the system's
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder).resolve() / "bytecode")
        python([__file__, "--save", "--megabytes", str(megabytes), "--row", *rows], folder)
        for turn in range(turns):
            first = turn % len(rows)
            for row in rows[first:] + rows[:first]:
                what, _, who = row.partition(" ")
                if what == "list":
                    result = list_once(who, folder)
                else:
                    result = in_a_process(what, who, megabytes, folder)
                if turn or turns == 1:
                    samples[row].append(result)
    results: dict[str, Result] = {}
    for row, found in samples.items():
        seconds, memory = ([sample[key] for sample in found] for key in ("seconds", "memory"))
        results[row] = {
            "seconds": statistics.median(seconds),
            "fastest": min(seconds),
            "slowest": max(seconds),
            "memory": statistics.median(memory),
        }
    return results


def in_a_process(what: str, who: str, megabytes: float, folder: str) -> Result:
    output = python([__file__, "--child", what, who, "--megabytes", str(megabytes)], folder)
    return json.loads(output.splitlines()[-1])


def python(arguments: list[str], folder: str) -> str:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def show(results: dict[str, Result], megabytes: float) -> None:
    """Print the table; ratios are how many times longer than tracker, at median and at best."""
    print(f"{megabytes:g} MB of weights, {3 * megabytes:g} MB with Adam's state")
    print(f"{'':<34}{'seconds':>8} (from - to){'GB/s':>13}{'memory':>9}{'x tracker':>17}")
    for row, result in results.items():
        what = row.split()[0]
        amount = megabytes / 1e3 * {"find": 1, "load": 1, "resume": 3, "list": 0}[what]
        spread = f"({result['fastest']:.3f} - {result['slowest']:.3f})"
        ours = results.get(f"{what} tracker", result)
        ratios = [result[key] / ours[key] for key in ("seconds", "fastest")]
        print(
            f"{row:<34}{result['seconds']:>8.3f} {spread:<17}{amount / result['seconds']:>7.2f}"
            f"{result['memory'] / 1e6:>6.0f} MB{ratios[0]:>9.2f} ({ratios[1]:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--row", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--save", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "WHO"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.save:
        save(options.row, options.megabytes)
        return
    if options.child:
        print(json.dumps(child(*options.child, options.megabytes)))
        return
    results = run(options.row, options.megabytes, options.repeat, options.directory)
    print(json.dumps(results, indent=2)) if options.json else show(results, options.megabytes)


if __name__ == "__main__":
    main()
