"""How many architectures come back bit by bit in another process, nothing typed by hand.

Each architecture of the corpus is made, stored and described in one process, loaded and compared in
another: the bits of the state_dict, the module tree with classes and names, sharing, hooks, every
attribute, and the output on a fixed input. The peers get the same models. Results are kept, so that
a run that was stopped goes on where it was; ``--again`` repeats what was missed. What is to
be said about a run beside its numbers goes to notes.md in its directory.

    pip install --no-deps -r benchmarks/requirements-rebuild.txt
    python benchmarks/rebuild.py --only torch.nn --only nasty
    python benchmarks/rebuild.py --contender "mlflow pt2" --contender "mlflow pickle"
    python benchmarks/rebuild.py --write docs/rebuild-results.md
    python benchmarks/rebuild.py --speed
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.metadata
import json
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import report, speed
from corpus.contenders import CONTENDERS
from corpus.groups import GROUPS
from corpus.schedule import Plan, names_of, run

# Where the group is not called by the name of its package.
PACKAGES = {"torch.nn": "torch", "torch_geometric": "torch-geometric"}

Results = dict[tuple[str, str, str], dict[str, Any]]


def main() -> None:
    arguments = parse()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    costs, used = (arguments.directory / name for name in ("costs.md", "versions.txt"))
    if arguments.speed:
        costs.write_text(speed.table(speed.measure()))
        print(costs.read_text())
        return
    file = arguments.directory / "results.jsonl"
    results = read(file)
    plans = [] if arguments.write else make_plans(arguments, results)
    if plans:
        used.write_text(versions())
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda plan: run_plan(plan, file, results), plans))
    if arguments.write:
        notes = arguments.directory / "notes.md"
        remarks = notes.read_text() if notes.exists() else ""
        measured = costs.read_text() if costs.exists() else "Not measured."
        arguments.write.write_text(
            report.document(results.values(), used.read_text(), measured, remarks)
        )
    else:
        print(report.markdown(results.values()))


def versions() -> str:
    """Return the versions of tracker and of what the corpus is made of."""
    packages = [PACKAGES.get(group, group) for group in GROUPS]
    found = {
        name: importlib.metadata.version(name)
        for name in dict.fromkeys(["checkpoint-tracker", "mlflow", *packages])
        if is_installed(name)
    }
    return ", ".join(f"{name} {version}" for name, version in found.items())


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="a group")
    parser.add_argument("--contender", action="append", choices=list(CONTENDERS))
    parser.add_argument("--case", action="append", help="a case's name")
    parser.add_argument("--limit", type=int, help="the first cases of each group only")
    parser.add_argument("--jobs", type=int, default=1, help="groups at the same time")
    parser.add_argument("--batch", type=int, default=25, help="cases for each process")
    parser.add_argument("--patience", type=float, default=300, help="seconds until one has hung")
    parser.add_argument("--again", action="store_true", help="repeat what was missed")
    parser.add_argument("--fresh", action="store_true", help="repeat everything")
    parser.add_argument("--write", type=Path, help="write the document of all results here")
    parser.add_argument("--speed", action="store_true", help="measure the costs, and nothing else")
    parser.add_argument("--directory", type=Path, default=Path("rebuild-results"))
    return parser.parse_args()


def read(file: Path) -> Results:
    """Return the results so far, the last of each case; a line cut off by a stop is dropped."""
    results: Results = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            result = json.loads(line)
        except json.JSONDecodeError:
            continue
        results[result["group"], result["contender"], result["name"]] = result
    return results


def make_plans(arguments: argparse.Namespace, results: Results) -> list[Plan]:
    """Return what is to do; contenders that need another environment get processes of their own."""
    plans = []
    together: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for contender in arguments.contender or ["tracker"]:
        environment = tuple(CONTENDERS[contender].environment.items())
        together.setdefault(environment, []).append(contender)
    for group in arguments.only or GROUPS:
        names = names_of(group) or []
        chosen = [n for n in names if arguments.case is None or n in arguments.case]
        for environment, contenders in together.items():
            jobs = []
            for name in chosen[: arguments.limit]:
                keys = [(group, contender, name) for contender in contenders]
                pending = [k[1] for k in keys if is_pending(results.get(k), arguments)]
                if pending:
                    jobs.append((name, pending))
            directory = (arguments.directory / group / contenders[0]).resolve()
            limits = arguments.patience, arguments.batch
            plans.append(Plan(group, jobs, directory, *limits, dict(environment)))
    return plans


def is_pending(result: dict[str, Any] | None, arguments: argparse.Namespace) -> bool:
    if result is None or arguments.fresh:
        return True
    return bool(arguments.again) and report.is_miss(result)


_writing = threading.Lock()


def run_plan(plan: Plan, file: Path, results: Results) -> None:
    for result in run(plan):
        with _writing, file.open("a") as opened:
            opened.write(json.dumps(result) + "\n")
            results[result["group"], result["contender"], result["name"]] = result
            print(report.line(result), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
