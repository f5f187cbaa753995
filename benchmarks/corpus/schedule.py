"""Runs cases in child processes, a batch at a time; one that crashes or hangs loses itself only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.contenders import Facts
from corpus.groups import PROGRAMS

Jobs = list[tuple[str, list[str]]]

BENCHMARKS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        group: The group.
        jobs: Names of its cases, with the contenders that try them.
        directory: Where everything of this plan is kept while it runs.
        patience: Seconds without news after which a process is ended.
        batch: Cases for each process.
        environment: Variables that the processes get.
    """

    group: str
    jobs: Jobs
    directory: Path
    patience: float
    batch: int
    environment: dict[str, str]


def names_of(group: str) -> list[str] | None:
    """Return the names of a group's cases, or None where its package is not installed."""
    code = (
        "import json, sys; from corpus.groups import cases_of;"
        "print(json.dumps([*cases_of(sys.argv[1])]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, group],
        env=_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        names: list[str] = json.loads(done.stdout.splitlines()[-1])
        return names
    last = (done.stderr.splitlines() or ["no message"])[-1]
    if not last.startswith(("ImportError", "ModuleNotFoundError")):
        raise RuntimeError(f"the cases of {group} can't be listed:\n{done.stderr}")
    print(f"{group}: left out, {last}", file=sys.stderr)
    return None


def run(plan: Plan) -> Iterator[dict[str, Any]]:
    """Save and load every case of a plan; yield what came of each."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(plan.jobs), plan.batch):
        jobs = plan.jobs[start : start + plan.batch]
        saved = _in_children("save", plan, jobs)
        stored = _without(
            jobs, {key for key, facts in saved.items() if "save_seconds" not in facts}
        )
        loaded = _in_children("load", plan, stored)
        for (name, contender), facts in saved.items():
            told = {"group": plan.group, "contender": contender, "name": name}
            yield told | facts | loaded.get((name, contender), {})
        _clean(plan.directory)


def _without(jobs: Jobs, done: Collection[tuple[str, str]]) -> Jobs:
    left = [(name, [c for c in contenders if (name, c) not in done]) for name, contenders in jobs]
    return [(name, contenders) for name, contenders in left if contenders]


def _in_children(action: str, plan: Plan, jobs: Jobs) -> dict[tuple[str, str], Facts]:
    """Run one action for some cases, in as many processes as it takes."""
    results: dict[tuple[str, str], Facts] = {}
    file = plan.directory / f"{action}.jsonl"
    while missing := _without(jobs, results):
        file.unlink(missing_ok=True)
        end = _run_child(action, plan, missing, file)
        for line in file.read_text().splitlines() if file.exists() else ():
            facts = json.loads(line)
            results[facts.pop("name"), facts.pop("contender")] = facts
        lost = _without(missing, results)
        if end and lost:
            name, contenders = lost[0]
            results[name, contenders[0]] = {f"{action}_error": end}
    return results


def _run_child(action: str, plan: Plan, jobs: Jobs, file: Path) -> str:
    """Run one child until it ends or hangs; return how it failed, or nothing."""
    log = plan.directory / f"{action}.log"
    with log.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, *_program(action, plan), action, plan.group],
            cwd=plan.directory,
            env=_environment(plan.environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(jobs))
        child.stdin.close()
        size, since = -1, time.monotonic()
        while child.poll() is None:
            time.sleep(0.1)
            now = file.stat().st_size if file.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > plan.patience:
                child.kill()
                child.wait()
                return f"hung: nothing for {plan.patience:.0f} s"
    if child.returncode == 0:
        return ""
    last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
    return f"crashed with exit code {child.returncode}: {last[:500]}"


def _program(action: str, plan: Plan) -> list[str]:
    """Return what Python runs; a script lies where it is run, as a user's does."""
    if action == "save" and plan.group in PROGRAMS:
        return [shutil.copy(Path(__file__).parent / PROGRAMS[plan.group], plan.directory)]
    return ["-m", "corpus.worker"]


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")])
        ),
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        **more,
    }


def _clean(directory: Path) -> None:
    """Drop what a batch has stored; the database stays, it costs seconds to make."""
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
