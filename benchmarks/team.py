"""A team at one URL: 32 clients that log and ask at once, and large checkpoints, through the proxy.

Starts the servers of docker-compose.yml as processes of this machine (tests/system/topology.py says
which): PostgreSQL, MLflow with accounts, S3, tracker's service, Caddy. Each client is a thread with
an account and a run of its own; it logs a checkpoint, waits until MLflow has it, and asks for the
best of its run (which must be the one just logged), the best of the experiment and the newest 20.
Afterwards everything is counted in MLflow and at the service: nothing may be lost or there twice.

Then a large checkpoint goes up and down, tracker and plain MLflow in turn, each in a process of its
own. Servers and clients share the machine's cores: these are numbers for comparison.

    python benchmarks/team.py                    # 32 clients, 20 rounds, 500 MB: some 10 minutes
    python benchmarks/team.py --quick            # 4 clients, 2 rounds, 5 MB: half a minute
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import mlflow
from mlflow.entities import LoggedModelStatus
from teams.clients import EXPERIMENT

from tests.system.topology import Team, add_user, team

WORKERS = Path(__file__).parent / "teams"
TRAINER, READER = ("trainer", "trains the models"), ("reader", "reads what is there")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    processes: int
    threads: int
    rounds: int
    megabytes: float
    repeat: int

    @property
    def checkpoints(self) -> int:
        return self.processes * self.threads * self.rounds


FULL = Size(processes=8, threads=4, rounds=20, megabytes=500, repeat=3)
QUICK = Size(processes=2, threads=2, rounds=2, megabytes=5, repeat=1)


def crowd(servers: Team, size: Size, directory: Path) -> dict[str, Any]:
    """Let all clients begin at once; return what they measured and what is there afterwards."""
    processes = [start_client(servers, size, number, directory) for number in range(size.processes)]
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"A client ended:\n{process.communicate()[1]}")
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    results = []
    for process in processes:
        printed, errors = process.communicate(timeout=3600)
        if process.returncode:
            raise SystemExit(f"A client failed:\n{errors}")
        results.append(json.loads(printed.splitlines()[-1]))
    seconds = max(r["ended"] for r in results) - min(r["begun"] for r in results)
    names = results[0]["times"]
    times = {name: [s for r in results for s in r["times"][name]] for name in names}
    run_ids = [run_id for r in results for run_id in r["run_ids"]]
    asked = sum(len(found) for name, found in times.items() if name.startswith(("best", "newest")))
    return {
        "clients": size.processes * size.threads,
        "checkpoints per second": size.checkpoints / seconds,
        "questions per second": asked / seconds,
        "milliseconds": {name: quantiles(found) for name, found in times.items()},
        **counted(servers, run_ids, size, directory),
    }


def start_client(servers: Team, size: Size, number: int, directory: Path) -> subprocess.Popen[str]:
    home = directory / f"client-{number}"
    home.mkdir()
    arguments = (str(number), str(size.threads), str(size.rounds))
    return subprocess.Popen(
        [sys.executable, str(WORKERS / "clients.py"), *arguments],
        cwd=home,
        env=quiet(servers.machine(home, TRAINER)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def quiet(environment: dict[str, str]) -> dict[str, str]:
    """Keep each process to one thread of its own: many of them share the machine."""
    return {**environment, "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet"}


def quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"median": statistics.median(ordered) * 1e3, "p99": last * 1e3, "calls": len(ordered)}


def counted(servers: Team, run_ids: list[str], size: Size, directory: Path) -> dict[str, int]:
    """Count every epoch of every run, in MLflow and at the service, asked by somebody else."""
    wanted = Counter((run_id, epoch) for run_id in run_ids for epoch in range(size.rounds))
    found = {"MLflow": in_mlflow(), "the service": at_the_service(servers, directory)}
    left = [*directory.glob("client-*/spool/*/delivery.json")]
    result = {"logged": size.checkpoints, "left in spools": len(left)}
    for where, there in found.items():
        result[f"lost in {where}"] = (wanted - there).total()
        result[f"twice in {where}"] = (there - wanted).total()
    return result


def in_mlflow() -> Counter[tuple[str, int]]:
    there: Counter[tuple[str, int]] = Counter()
    api, token = mlflow.MlflowClient(), None
    experiment = api.get_experiment_by_name(EXPERIMENT)
    while True:
        page = api.search_logged_models([experiment.experiment_id], page_token=token)
        # Not by a filter: on PostgreSQL, MLflow 3.17 compares the status with the wrong type.
        ready = (each for each in page if each.status == LoggedModelStatus.READY)
        there.update((each.source_run_id, int(each.name.removeprefix("epoch-"))) for each in ready)
        if not (token := page.token):
            return there


LIST_ALL = f"""
import json, tracker
found, page = [], None
while page is None or page:
    page = tracker.search_checkpoints(experiment="{EXPERIMENT}", offset=len(found), max_results=500)
    found += [(each.run_id, each.epoch) for each in page]
print(json.dumps(found))
"""


def at_the_service(servers: Team, directory: Path) -> Counter[tuple[str, int]]:
    home = directory / "reader"
    home.mkdir(exist_ok=True)
    found = run_in(home, servers.machine(home, READER), "-c", LIST_ALL)
    return Counter((run_id, epoch) for run_id, epoch in found)


def transfers(servers: Team, size: Size, run_id: str, directory: Path) -> dict[str, Any]:
    """Send and fetch a large checkpoint, tracker and MLflow in turn; return median seconds."""
    seconds: dict[str, list[float]] = {}
    for turn in range(size.repeat):
        contenders = ["tracker", "mlflow"][:: 1 if turn % 2 == 0 else -1]
        for direction, account in (("upload", TRAINER), ("download", READER)):
            for who in contenders:
                with tempfile.TemporaryDirectory(dir=directory) as folder:
                    home = Path(folder)
                    arguments = (direction, who, str(size.megabytes), run_id, str(1000 + turn))
                    script = str(WORKERS / "transfers.py")
                    took = run_in(home, servers.machine(home, account), script, *arguments)
                seconds.setdefault(f"{direction}, {who}", []).append(took["seconds"])
    return {
        name: {
            "seconds": statistics.median(found),
            "MB/s": size.megabytes / statistics.median(found),
            "fastest": min(found),
            "slowest": max(found),
        }
        for name, found in seconds.items()
    }


def run_in(home: Path, environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{arguments[:3]} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, Any]) -> Iterator[str]:
    found = results["crowd"]
    yield (
        f"{found['clients']} clients: {found['checkpoints per second']:.1f} checkpoints and "
        f"{found['questions per second']:.1f} questions a second"
    )
    yield f"{'':<28}{'median':>10}{'p99':>10}{'calls':>8}"
    for name, each in found["milliseconds"].items():
        yield f"{name:<28}{each['median']:>7.0f} ms{each['p99']:>7.0f} ms{each['calls']:>8}"
    counts = ("logged", "left in spools", *(k for k in found if k.startswith(("lost", "twice"))))
    yield ", ".join(f"{name}: {found[name]}" for name in counts)
    yield ""
    yield f"{results['megabytes']:g} MB{'':<22}{'seconds':>9}{'MB/s':>8}   fastest - slowest"
    for name, each in results["transfers"].items():
        spread = f"{each['fastest']:.1f} - {each['slowest']:.1f}"
        yield f"{name:<28}{each['seconds']:>8.2f}{each['MB/s']:>8.0f}   {spread}"


def conditions() -> str:
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, load {loads}, Python {platform.python_version()}, "
        f"torch {version('torch')}, mlflow {version('mlflow')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a try: small, half a minute")
    parser.add_argument("--processes", type=int, help="of clients (8)")
    parser.add_argument("--threads", type=int, help="clients in each process (4)")
    parser.add_argument("--rounds", type=int, help="checkpoints that each client logs (20)")
    parser.add_argument("--megabytes", type=float, help="of the large checkpoint (500)")
    parser.add_argument("--repeat", type=int, help="times that it goes up and down (3)")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    usual = QUICK if options.quick else FULL
    given = {name: getattr(options, name) for name in Size.__slots__}
    size = Size(**{k: getattr(usual, k) if v is None else v for k, v in given.items()})
    if not options.json:
        print(conditions(), flush=True)
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as folder,
        team(workers=1 if options.quick else 2) as servers,
    ):
        directory = Path(folder)
        for account in (TRAINER, READER):
            add_user(servers, account)
        os.environ.update(servers.machine(directory, TRAINER))
        experiment_id = mlflow.create_experiment(EXPERIMENT)
        results = {"megabytes": size.megabytes, "crowd": crowd(servers, size, directory)}
        run = mlflow.MlflowClient().create_run(experiment_id, run_name="large")
        results["transfers"] = transfers(servers, size, run.info.run_id, directory)
    print(json.dumps(results, indent=2) if options.json else "\n".join(table(results)))


if __name__ == "__main__":
    main()
