"""Starts training processes by the hundred, and kills them. What they leave is examined elsewhere.

A test asks a `ForkServer` for processes that train in a `Store`, one after the other.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from .crashing_processes import MODULES, OUTPUT, STEPS
from .processes import PYTHON, environment, kill, place, start

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Store:
    """A working directory in which training processes run, and the environment that they have."""

    directory: Path
    variables: dict[str, str]

    @property
    def waiting(self) -> list[Path]:
        """What waits in the spool."""
        return list((self.directory / "spool").glob("*/delivery.json"))

    @property
    def steps(self) -> dict[str, int]:
        """How often the last process that came to its end has announced each step."""
        found: dict[str, int] = json.loads((self.directory / STEPS).read_text())
        return found

    @property
    def output(self) -> str:
        """What all processes have printed."""
        return (self.directory / OUTPUT).read_text()


def new_store(directory: Path, template: Path, **variables: str) -> Store:
    """Make a store of a SQLite file and local artifacts."""
    directory.mkdir()
    place(template, directory)
    named = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{directory}/mlflow.db",
        "TRACKER_CACHE_DIR": str(directory / "cache"),
        "TRACKER_SPOOL_DIR": str(directory / "spool"),
    }
    return Store(directory, named | variables)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process has ended: whether it was killed, and how long after it had begun."""

    killed: bool
    seconds: float


class ForkServer:
    """Starts processes in milliseconds; `crashing_processes` says how.

    Args:
        directory: Where it rehearses.
        template: A database with MLflow's schema.
    """

    def __init__(self, directory: Path, template: Path) -> None:
        self._process = start(
            *(PYTHON, "-m", "tests.system.crashing_processes"),
            directory=ROOT,
            variables=environment(directory),
            stdin=PIPE,
        )
        assert self._answer() == "ready"
        self._rehearse(new_store(directory / "rehearsal", template))

    def _rehearse(self, store: Store) -> None:
        self.train(store)
        self._import_what_was_needed(store)
        self.train(store, TRACKER_OFFLINE="1")
        self.sync(store)
        self._import_what_was_needed(store)

    def _import_what_was_needed(self, store: Store) -> None:
        modules = json.loads((store.directory / MODULES).read_text())
        threads = self._ask({"task": "import", "modules": modules})
        assert threads == 1, "a fork would lack the others"

    def train(
        self,
        store: Store,
        *,
        kill_at: tuple[str, int] | None = None,
        kill_after: float | None = None,
        victim: int | None = None,
        processes: int = 1,
        **variables: str,
    ) -> Ended:
        """Train some epochs more.

        Args:
            store: Where.
            kill_at: A step that tracker announces, and at which occurrence to kill the process.
            kill_after: Kill it so many seconds after it has begun.
            victim: A process group that ``kill_after`` kills instead.
            processes: How many do the same at the same time.
            variables: More of its environment.
        """
        order = {"task": "train", "victim": victim, "processes": processes}
        return self._run(order, store, kill_at, kill_after, variables)

    def sync(
        self,
        store: Store,
        *,
        kill_at: tuple[str, int] | None = None,
        kill_after: float | None = None,
    ) -> Ended:
        """Send what waits in the spool; see `train`."""
        return self._run({"task": "sync", "victim": None}, store, kill_at, kill_after, {})

    def _run(
        self,
        order: dict[str, Any],
        store: Store,
        kill_at: tuple[str, int] | None,
        kill_after: float | None,
        variables: dict[str, str],
    ) -> Ended:
        order |= {
            "directory": str(store.directory),
            "variables": store.variables | variables,
            "kill_at": kill_at,
            "kill_after": kill_after,
        }
        ended = self._ask(order)
        assert ended["status"] in (0, -signal.SIGKILL), store.output
        return Ended(ended["status"] == -signal.SIGKILL, ended["seconds"])

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            kill(self._process)
            assert self._process.stderr is not None
            raise AssertionError(f"The fork server ended:\n{self._process.stderr.read()}")
        return json.loads(line)

    def close(self) -> None:
        kill(self._process)


@contextmanager
def fork_server(directory: Path, template: Path) -> Iterator[ForkServer]:
    """Run a fork server; it always ends."""
    server = ForkServer(directory, template)
    try:
        yield server
    finally:
        server.close()
