"""Starts what a person would start: scripts, the ``tracker`` command, MLflow servers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .forked import PYTHON, SCRIPT, popen

TRACKER = SCRIPT
"""The command as it is installed beside the interpreter that runs the tests."""

Finished = subprocess.CompletedProcess[str]


def environment(directory: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment without MLflow's and tracker's, and with ``variables``.

    The cache and the spool are in ``directory``, so that no test sees another's.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TRACKER_"))}
    own = {
        "TRACKER_CACHE_DIR": str(directory / "cache"),
        "TRACKER_SPOOL_DIR": str(directory / "spool"),
    }
    return {**kept, **own, **variables}


def place(template: Path, directory: Path) -> None:
    """Put a copy of a database with MLflow's schema where MLflow looks; making one costs seconds.

    The artifacts of the experiment Default go beside it.
    """
    file = directory / "mlflow.db"
    shutil.copy(template, file)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ?", [f"{directory}/mlruns/0"]
        )


def start(
    *command: str | Path,
    directory: Path,
    variables: dict[str, str],
    cold: bool = False,
    **options: Any,
) -> subprocess.Popen[str]:
    """Start a command in ``directory``; it leads a process group of its own.

    What runs Python is forked, unless it is to be started ``cold``: see `forked`.
    """
    return popen(
        [str(part) for part in command],
        variables,
        cold=cold,
        cwd=directory,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> Finished:
    """Wait for a process of `start`; kill it and its children if it takes too long."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        stdout, stderr = process.communicate()
        raise AssertionError(f"{process.args} took too long:\n{stdout}\n{stderr}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def kill(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL to a process of `start` and its children; nothing can clean up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def run(
    *command: str | Path, directory: Path, variables: dict[str, str], cold: bool = False
) -> Finished:
    """Run a command to its end, whatever its exit status is."""
    return finish(start(*command, directory=directory, variables=variables, cold=cold))


def succeed(
    *command: str | Path, directory: Path, variables: dict[str, str], cold: bool = False
) -> str:
    """Run a command that has to succeed; return what it printed."""
    done = run(*command, directory=directory, variables=variables, cold=cold)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracker_json(
    *arguments: str, directory: Path, variables: dict[str, str], command: str = TRACKER
) -> Any:
    """Run a ``tracker`` command with ``--json``; return what it printed."""
    text = succeed(command, *arguments, "--json", directory=directory, variables=variables)
    return json.loads(text)


def listed(directory: Path, variables: dict[str, str]) -> list[tuple[str, int]]:
    """Return the run and epoch of every checkpoint that ``tracker list`` shows, sorted."""
    found = tracker_json("list", directory=directory, variables=variables)
    return sorted((each["run_id"], each["epoch"]) for each in found)


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait for a moment in the life of a process; fail if it ends before."""
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None:
            done = finish(process)
            raise AssertionError(f"It ended too early:\n{done.stdout}\n{done.stderr}")
        assert time.monotonic() < deadline, "It never happened."
        time.sleep(0.001)


@contextlib.contextmanager
def mlflow_server(
    directory: Path,
    *arguments: str,
    command: str = "server",
    port: int | None = None,
    settings: dict[str, str] | None = None,
    cold: bool = False,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``mlflow server`` in ``directory``; yield its URI and process. It always ends."""
    port = port or free_port()
    full = [PYTHON, "-m", "mlflow", command, "--port", str(port), "--workers", "1"]
    variables = environment(
        directory, **{"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(settings or {})}
    )
    with open(directory / "server.log", "w") as log:
        process = popen(
            [*full, *arguments], variables, cold=cold, cwd=directory, stdout=log, stderr=log
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for_health(uri, process, directory / "server.log")
        yield uri, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait_for_health(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"MLflow's server does not answer:\n{log.read_text()}")


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
