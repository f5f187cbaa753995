"""A 500 MB model with Adam state, saved and loaded: tracker against torch.save and torch.load.

Every measurement is a process of its own on the same disk, the contenders in turns; the table shows
the median. Saving ends when the bytes are on the disk: tracker syncs what it writes, and the peers'
file is synced after ``torch.save``. Loading begins with the page cache warm for all. Memory is the
peak of the process above what it was when the model was there (save), or torch imported (load).

    python benchmarks/roundtrip.py --megabytes 500 --repeat 3
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tracker

WIDTH = 1024


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Net(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)


def make(megabytes: float) -> tuple[Net, torch.optim.Adam]:
    """Return a model of about that size, with a filled optimizer; always the same."""
    torch.manual_seed(0)
    width = WIDTH if megabytes >= 64 else 64
    depth = max(1, round(megabytes * 1e6 / (4 * 8 * width * width)))
    model = Net(depth, width)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, width)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


@contextlib.contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Measure seconds and the peak of resident bytes above now."""
    result: dict[str, float] = {}
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten (Linux)
    before, start = _resident("VmRSS"), time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - start
    result["memory"] = max(0, _resident("VmHWM") - before)


def _resident(line: str) -> int:
    found = re.search(rf"^{line}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def save_tracker(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    import mlflow

    mlflow.start_run()  # MLflow's own start-up is no part of a save
    tracker.log_checkpoint(nn.Linear(1, 1), epoch=0)
    with measured() as result:
        tracker.log_checkpoint(model, epoch=1, optimizer=optimizer)
    return result


def save_torch(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    with measured() as result:
        torch.save(_state(model, optimizer), "state.pt")
        _sync(Path("state.pt"))
    return result


def save_mlflow(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    import mlflow

    mlflow.start_run()
    mlflow.log_param("warm", 1)
    with measured() as result:
        torch.save(_state(model, optimizer), "state_mlflow.pt")
        mlflow.log_artifact("state_mlflow.pt")
        _sync(next(Path("mlruns").rglob("state_mlflow.pt")))
    return result


def save_raw(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    """The same bytes, written and nothing else."""
    tensors = [*model.state_dict().values()]
    tensors += [t for s in optimizer.state.values() for t in s.values()]
    with measured() as result, open("raw.bin", "wb", buffering=0) as file:
        for tensor in tensors:
            data = memoryview(tensor.contiguous().flatten().view(torch.uint8).numpy())
            while data:
                data = data[file.write(data) :]
        os.fsync(file.fileno())
    return result


def _state(model: Net, optimizer: torch.optim.Adam) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def load_tracker(verify: bool) -> tuple[dict[str, float], Callable[[], Net]]:
    checkpoint = tracker.get_checkpoint(epoch=1)
    with measured() as result:
        model = checkpoint.load_model(verify=verify)
        _touch(model)
    return result, lambda: model


def load_torch(megabytes: float) -> tuple[dict[str, float], Callable[[], Net]]:
    """What a user types who remembers the constructor's arguments."""
    with measured() as result:
        model = make_empty(megabytes)
        model.load_state_dict(torch.load("model.pt", weights_only=True))
        _touch(model)
    return result, lambda: model


def make_empty(megabytes: float) -> Net:
    width = WIDTH if megabytes >= 64 else 64
    return Net(max(1, round(megabytes * 1e6 / (4 * 8 * width * width))), width)


def _touch(model: nn.Module) -> None:
    """Read every weight once, so that mapping does not look like loading."""
    for parameter in model.parameters():
        parameter.detach().sum()


def resume_tracker(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    checkpoint = tracker.get_checkpoint(epoch=1)
    with measured() as result:
        tracker.resume(checkpoint, model=model, optimizer=optimizer)
    return result


def resume_torch(model: Net, optimizer: torch.optim.Adam) -> dict[str, float]:
    with measured() as result:
        state = torch.load("state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    return result


SAVES = {"tracker": save_tracker, "torch": save_torch, "mlflow": save_mlflow, "raw": save_raw}
RESUMES = {"tracker": resume_tracker, "torch": resume_torch}


def child(what: str, who: str, megabytes: float) -> dict[str, float]:
    """Run one measurement in this process; loads are compared bit for bit with what was saved."""
    if what == "save":
        model, optimizer = make(megabytes)
        result = SAVES[who](model, optimizer)
        if who == "torch":
            torch.save(model.state_dict(), "model.pt")
        return result
    if what == "load":
        loaders = {
            "tracker": lambda: load_tracker(True),
            "tracker unverified": lambda: load_tracker(False),
            "torch": lambda: load_torch(megabytes),
        }
        result, model_of = loaders[who]()
        wanted, _ = make(megabytes)
        _check_equal(model_of().state_dict(), wanted.state_dict())
        return result
    wanted, wanted_optimizer = make(megabytes)
    model = make_empty(megabytes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    result = RESUMES[who](model, optimizer)
    _check_equal(model.state_dict(), wanted.state_dict())
    for key, state in wanted_optimizer.state_dict()["state"].items():
        _check_equal(optimizer.state_dict()["state"][key], state)
    return result


def _check_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if found.keys() != wanted.keys() or not all(torch.equal(found[k], wanted[k]) for k in wanted):
        raise SystemExit("what was loaded is not what was saved")


ROWS = [
    *(("save", who) for who in SAVES),
    *(("load", who) for who in ("tracker", "tracker unverified", "torch")),
    *(("resume", who) for who in RESUMES),
]


def run(megabytes: float, repeat: int, directory: Path) -> dict[str, dict[str, float]]:
    """Measure everything; return medians by row."""
    samples: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            for what, who in ROWS:
                arguments = ["--child", what, who, "--megabytes", str(megabytes)]
                done = subprocess.run(
                    [sys.executable, str(Path(__file__).resolve()), *arguments],
                    cwd=folder,
                    env={**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    raise SystemExit(f"{what} {who} failed:\n{done.stderr}")
                samples.setdefault(f"{what} {who}", []).append(json.loads(done.stdout))
    return {
        row: {key: statistics.median(s[key] for s in found) for key in ("seconds", "memory")}
        for row, found in samples.items()
    }


def show(results: dict[str, dict[str, float]], megabytes: float) -> None:
    """Print the table; each row's ratio is to tracker's row of the same kind."""
    print(f"{megabytes:g} MB of weights, {3 * megabytes:g} MB with Adam's state")
    print(f"{'':<26}{'seconds':>9}{'GB/s':>7}{'memory':>10}{'against tracker':>18}")
    for row, result in results.items():
        what = row.split()[0]
        amount = megabytes / 1e3 * (1 if what == "load" else 3)
        ratio = result["seconds"] / results[f"{what} tracker"]["seconds"]
        print(
            f"{row:<26}{result['seconds']:>9.3f}{amount / result['seconds']:>7.2f}"
            f"{result['memory'] / 1e6:>7.0f} MB{ratio:>16.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--repeat", type=int, default=3)
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
