"""A 500 MB model with Adam state, saved and loaded: tracker against torch.save and torch.load.

Every measurement is a process of its own on one disk, and the contenders take turns at going first:
under a hypervisor, who touches memory first pays for it. The table shows the median, fastest and
slowest. Older writes are synced before; saving ends when the bytes are on the disk: tracker syncs
its files, and the peers' last file is synced inside their time. Loading begins with the files in
the page cache and ends when every weight was read. Memory is the process's peak above what it held
just before. What was loaded is compared byte by byte with what was saved. Needs Linux.

    python benchmarks/roundtrip.py --megabytes 500 --repeat 5
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

import torch
from torch import Tensor, nn

import tracker

Result = dict[str, float]


class Net(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        sizes = [width, 4 * width] * depth + [width]
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sizes)))


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


def save_tracker(model: Net, optimizer: torch.optim.Adam) -> Result:
    import mlflow

    mlflow.start_run()  # the start-up of MLflow and of the catalog is no part of a save
    tracker.log_checkpoint(nn.Linear(1, 1), epoch=0)
    with measured() as result:
        tracker.log_checkpoint(model, epoch=1, optimizer=optimizer)
    return result


def save_torch(model: Net, optimizer: torch.optim.Adam) -> Result:
    with measured() as result:
        torch.save(state_of(model, optimizer), "state.pt")
        sync(Path("state.pt"))
    torch.save(model.state_dict(), "model.pt")
    return result


def save_mlflow(model: Net, optimizer: torch.optim.Adam) -> Result:
    import mlflow

    mlflow.start_run()
    mlflow.log_param("warm", 1)
    with measured() as result:
        torch.save(state_of(model, optimizer), "logged.pt")
        mlflow.log_artifact("logged.pt")
        sync(next(Path("mlruns").rglob("logged.pt")))
    return result


def save_raw(model: Net, optimizer: torch.optim.Adam) -> Result:
    """The same bytes, written and nothing else."""
    tensors = [*model.parameters(), *(t for s in optimizer.state.values() for t in s.values())]
    with measured() as result, open("raw.bin", "wb", buffering=0) as file:
        for tensor in tensors:
            assert file.write(bytes_of(tensor).numpy().data) == tensor.nbytes
        os.fsync(file.fileno())
    return result


def state_of(model: Net, optimizer: torch.optim.Adam) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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
    "save": {
        "tracker": save_tracker,
        "torch.save": save_torch,
        "torch.save + mlflow": save_mlflow,
        "raw write": save_raw,
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


def child(what: str, who: str, megabytes: float) -> Result:
    """Run one measurement in this process; what was loaded must be what was saved."""
    contender = CONTENDERS[what][who]
    if what == "save":
        return contender(*make(megabytes))
    tracker.get_checkpoint(epoch=1)  # the catalog is open, as torch is imported
    for file in (*Path().glob("*.pt"), *Path().rglob("*.safetensors")):
        file.read_bytes()
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
    check_equal(state, make(megabytes)[0].state_dict())
    return result


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


def run(megabytes: float, repeat: int, directory: Path) -> dict[str, Result]:
    """Measure everything; return median, fastest and slowest by row."""
    samples: dict[str, list[Result]] = {}
    for turn in range(repeat):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            for what, every in CONTENDERS.items():
                first = turn % len(every)
                for who in [*every][first:] + [*every][:first]:
                    result = in_a_process(what, who, megabytes, folder)
                    samples.setdefault(f"{what} {who}", []).append(result)
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
    command = [sys.executable, __file__, "--child", what, who, "--megabytes", str(megabytes)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what} {who} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def show(results: dict[str, Result], megabytes: float) -> None:
    """Print the table; ratios are how many times longer than tracker, at median and at best."""
    print(f"{megabytes:g} MB of weights, {3 * megabytes:g} MB with Adam's state")
    print(f"{'':<28}{'seconds':>8} (from - to){'GB/s':>13}{'memory':>9}{'x tracker':>17}")
    for row, result in results.items():
        what = row.split()[0]
        amount = megabytes / 1e3 * (1 if what == "load" else 3)
        spread = f"({result['fastest']:.3f} - {result['slowest']:.3f})"
        ratios = [result[key] / results[f"{what} tracker"][key] for key in ("seconds", "fastest")]
        print(
            f"{row:<28}{result['seconds']:>8.3f} {spread:<17}{amount / result['seconds']:>7.2f}"
            f"{result['memory'] / 1e6:>6.0f} MB{ratios[0]:>9.2f} ({ratios[1]:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "WHO"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child, options.megabytes)))
        return
    results = run(options.megabytes, options.repeat, options.directory)
    print(json.dumps(results, indent=2)) if options.json else show(results, options.megabytes)


if __name__ == "__main__":
    main()
