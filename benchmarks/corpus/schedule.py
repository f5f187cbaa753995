"""Runs cases in child processes, a batch at a time; one that crashes or hangs loses itself only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.contenders import CONTENDERS, Facts

BENCHMARKS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: a group's cases with one contender.

    Attributes:
        group: The group.
        contender: The contender.
        names: The cases.
        directory: Where everything of this plan is kept while it runs.
        patience: Seconds without news after which a process is ended.
        batch: Cases for each process.
    """

    group: str
    contender: str
    names: tuple[str, ...]
    directory: Path
    patience: float
    batch: int


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
    for start in range(0, len(plan.names), plan.batch):
        names = list(plan.names[start : start + plan.batch])
        saved = _in_children("save", plan, names)
        stored = [name for name in names if "save_seconds" in saved[name]]
        loaded = _in_children("load", plan, stored)
        for name in names:
            yield {"name": name, **saved[name], **loaded.get(name, {})}
        _clean(plan.directory)


def _in_children(action: str, plan: Plan, names: list[str]) -> dict[str, Facts]:
    """Run one action for some cases, in as many processes as it takes."""
    results: dict[str, Facts] = {}
    file = plan.directory / f"{action}.jsonl"
    while missing := [name for name in names if name not in results]:
        file.unlink(missing_ok=True)
        end = _run_child(action, plan, missing, file)
        for line in file.read_text().splitlines() if file.exists() else ():
            facts = json.loads(line)
            results[facts.pop("name")] = facts
        if end and (lost := next((name for name in missing if name not in results), None)):
            results[lost] = {f"{action}_error": end}
    return results


def _run_child(action: str, plan: Plan, names: list[str], file: Path) -> str:
    """Run one child until it ends or hangs; return how it failed, or nothing."""
    log = plan.directory / f"{action}.log"
    contender = CONTENDERS[plan.contender]
    with log.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "corpus.worker", action, plan.group, plan.contender],
            cwd=plan.directory,
            env=_environment(contender.environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(names))
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
