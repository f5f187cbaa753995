"""A team at one URL: clients that train and clients that ask at once, and large checkpoints.

Starts the servers of docker-compose.yml as processes of this machine (tests/system/topology.py says
which): PostgreSQL, MLflow with accounts, S3, tracker's service, Caddy. Everything goes through the
proxy. Half of the clients train: each has a run, and logs a checkpoint when MLflow has the one
before. The other half asks all the time for the best of a run, the best of the experiment and the
newest 20, with the account of somebody else. Afterwards everything is counted in MLflow and at the
service: nothing may be lost or there twice.

Then a large checkpoint goes up and down, tracker and plain MLflow in turn, in processes of their
own. Servers and clients share the machine's cores: these are numbers for comparison.

    python benchmarks/team.py             # 32 clients, 20 checkpoints each, 500 MB: some 10 minutes
    python benchmarks/team.py --quick     # 4 clients, 2 checkpoints each, 5 MB: half a minute
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

from tests.system.topology import Team, add_user, ask, team

WORKERS = Path(__file__).parent / "teams"
EXPERIMENT = "team"
TRAINER, READER = ("trainer", "trains the models"), ("reader", "reads what is there")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done; ``processes`` of clients that train, and as many of clients that ask."""

    processes: int
    threads: int
    rounds: int
    megabytes: float
    repeat: int

    @property
    def checkpoints(self) -> int:
        return self.processes * self.threads * self.rounds


FULL = Size(processes=4, threads=4, rounds=20, megabytes=500, repeat=3)
QUICK = Size(processes=1, threads=2, rounds=2, megabytes=5, repeat=1)


def crowd(servers: Team, size: Size, directory: Path) -> dict[str, Any]:
    """Let all clients begin at once; return what they measured and what is there afterwards."""
    numbers = range(size.processes)
    training = [start_client(servers, size, TRAINER, number, directory) for number in numbers]
    asking = [start_client(servers, size, READER, number, directory) for number in numbers]
    run_ids = [run_id for process in training + asking for run_id in json.loads(line_of(process))]
    for process in training + asking:
        assert process.stdin is not None
        process.stdin.write(json.dumps(run_ids) + "\n")
        process.stdin.flush()
    trained = [result_of(process) for process in training]
    asked = [result_of(process) for process in asking]  # which closes their standard input
    return {
        "clients": 2 * size.processes * size.threads,
        "checkpoints per second": size.checkpoints / max(r["seconds"] for r in trained),
        "questions per second": sum(rate(r) for r in asked),
        "milliseconds": {**milliseconds(trained), **milliseconds(asked)},
        **counted(servers, run_ids, size, directory),
    }


def start_client(
    servers: Team, size: Size, account: tuple[str, str], number: int, directory: Path
) -> subprocess.Popen[str]:
    what = ("train", "ask")[account == READER]
    home = directory / f"{what}-{number}"
    home.mkdir()
    arguments = (what, str(number), str(size.threads))
    rounds = (str(size.rounds),) if what == "train" else ()
    return subprocess.Popen(
        [sys.executable, str(WORKERS / "clients.py"), *arguments, *rounds],
        cwd=home,
        env=quiet(servers.machine(home, account)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"A client ended:\n{process.communicate()[1]}")
    return line


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, errors = process.communicate(timeout=3600)
    if process.returncode or not printed:
        raise SystemExit(f"A client failed ({process.returncode}):\n{errors}")
    return json.loads(printed.splitlines()[-1])


def rate(result: dict[str, Any]) -> float:
    return sum(map(len, result["times"].values())) / result["seconds"]


def milliseconds(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    names = results[0]["times"]
    return {name: quantiles([s for r in results for s in r["times"][name]]) for name in names}


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
    found = {"MLflow": in_mlflow(servers), "the service": at_the_service(servers)}
    left = [*directory.glob("train-*/spool/*/delivery.json")]
    result = {"logged": size.checkpoints, "left in spools": len(left)}
    for where, there in found.items():
        result[f"lost in {where}"] = (wanted - there).total()
        result[f"twice in {where}"] = (there - wanted).total()
    return result


def in_mlflow(servers: Team) -> Counter[tuple[str, int]]:
    there: Counter[tuple[str, int]] = Counter()
    question: dict[str, Any] = {"experiment_ids": [experiment(servers)], "max_results": 500}
    while True:
        page = asked(servers, "/api/2.0/mlflow/logged-models/search", question)
        for model in page.get("models", []):
            info = model["info"]
            if info["status"] == "LOGGED_MODEL_READY":
                there[info["source_run_id"], int(info["name"].removeprefix("epoch-"))] += 1
        if not page.get("next_page_token"):
            return there
        question["page_token"] = page["next_page_token"]


def at_the_service(servers: Team) -> Counter[tuple[str, int]]:
    there: Counter[tuple[str, int]] = Counter()
    while True:
        question = {"experiments": [EXPERIMENT], "max_results": 500, "offset": there.total()}
        page = asked(servers, "/tracker/api/1/search", question)["checkpoints"]
        there.update((each["run_id"], each["epoch"]) for each in page)
        if not page:
            return there


def experiment(servers: Team) -> str:
    """Return the id of the experiment of the clients, which is made if it is not there."""
    names = {"filter": f"name = '{EXPERIMENT}'", "max_results": 1}
    found = asked(servers, "/api/2.0/mlflow/experiments/search", names).get("experiments")
    if found:
        return found[0]["experiment_id"]
    path = "/api/2.0/mlflow/experiments/create"
    return asked(servers, path, {"name": EXPERIMENT}, TRAINER)["experiment_id"]


def asked(servers: Team, path: str, question: object, user: tuple[str, str] = READER) -> Any:
    status, answer = ask(servers, "POST", path, user, question)
    if status != 200:
        raise SystemExit(f"{path}: {status} {answer}")
    return json.loads(answer)


def transfers(servers: Team, size: Size, run_id: str, directory: Path) -> dict[str, Any]:
    """Send and fetch a large checkpoint, tracker and MLflow in turn; return median seconds."""
    seconds: dict[str, list[float]] = {}
    for turn in range(size.repeat):
        order = "tracker,mlflow" if turn % 2 == 0 else "mlflow,tracker"
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            environment = servers.machine(Path(folder), TRAINER)
            arguments = (order, str(size.megabytes), run_id, str(1000 + turn))
            for what, took in in_a_process(Path(folder), environment, *arguments).items():
                seconds.setdefault(what, []).append(took)
    return {
        name: {
            "seconds": statistics.median(found),
            "MB/s": size.megabytes / statistics.median(found),
            "fastest": min(found),
            "slowest": max(found),
        }
        for name, found in seconds.items()
    }


def in_a_process(home: Path, environment: dict[str, str], *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(WORKERS / "transfers.py"), *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"The transfers failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(servers: Team, size: Size, directory: Path) -> dict[str, Any]:
    """Let a team of two accounts work on running servers; return all results."""
    for account in (TRAINER, READER):
        add_user(servers, account)
    experiment_id = experiment(servers)
    found = crowd(servers, size, directory)
    named = {"experiment_id": experiment_id, "run_name": "large"}
    run = asked(servers, "/api/2.0/mlflow/runs/create", named, TRAINER)
    moved = transfers(servers, size, run["run"]["info"]["run_id"], directory)
    return {"megabytes": size.megabytes, "crowd": found, "transfers": moved}


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
    parser.add_argument("--processes", type=int, help="that train, and that ask (4)")
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
        results = measure(servers, size, Path(folder))
    print(json.dumps(results, indent=2) if options.json else "\n".join(table(results)))


if __name__ == "__main__":
    main()
