"""Starts Python's processes by a fork of one that has imported everything already.

Importing torch and MLflow takes most of what a short script takes. A `ForkedPopen` is a
`subprocess.Popen` whose process is forked instead of started from nothing, and is a child of ours
like any other: it has its own standard streams, environment and working directory, can be waited
for, signalled and killed. What must begin as on a user's machine (imports, their order, the
environment that they read) is started ``cold``.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PYTHON = sys.executable
SCRIPT = str(Path(sys.executable).with_name("tracker"))

WHOLE_END = "FORKED_TAKEN_APART"
"""A variable for a forked process that Python is to take apart at its end.

Others leave when all is done that Python promises to do then, which saves half a second.
"""

FORKED_CHILDREN = "FORKED_CHILDREN"
"""A variable for a forked process whose own processes are to be forked, too."""

READ_AT_THE_BEGINNING = ("PYTHON", "LD_", "MALLOC", "OMP_", "MKL_", "OPENBLAS_", "TORCH_")
"""Beginnings of variables that count before a process could set them, but for PYTHONPATH."""

PR_SET_CHILD_SUBREAPER = 36

BEGINNING = inspect.signature(subprocess.Popen._execute_child)


class ForkedPopen(subprocess.Popen[Any]):
    """A process that a fork server forks if that is the same, and that is started else.

    There is no public way to change how a `Popen` begins its process, so this overrides a private
    one; ``test_forked.py`` fails when that moves.
    """

    def _execute_child(self, *arguments: Any) -> None:
        given = BEGINNING.bind(self, *arguments).arguments
        variables = dict(os.environ if given["env"] is None else given["env"])
        special = given["shell"] or given["pass_fds"] or given["preexec_fn"]
        command = [given["args"]] if isinstance(given["args"], str) else [*given["args"]]
        if special or not can_fork(command, variables):
            super()._execute_child(*arguments)
            return
        streams = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        order = {
            "command": [os.fspath(part) for part in command],
            "directory": os.path.abspath(given["cwd"] or "."),
            "variables": variables,
            "new_session": given["start_new_session"],
        }
        descriptors = [number if each == -1 else each for number, each in enumerate(streams)]
        self.pid = fork_server().fork(order, descriptors)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[end] for end in ends))


class ForkServer:
    """Asks a process of `forked_processes` to fork, and adopts what it has forked."""

    def __init__(self, orders: socket.socket) -> None:
        self._asking = threading.Lock()
        self._orders = orders

    def fork(self, order: dict[str, Any], descriptors: list[int]) -> int:
        """Have a process do what is ordered with these standard streams; return its id."""
        with self._asking:
            _adopt_orphans(True)
            try:
                socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)
                return self.answer()
            finally:
                _adopt_orphans(False)

    def answer(self) -> int:
        """Return the number that the server sends next."""
        answer = self._orders.recv(100)
        if not answer:
            raise ChildProcessError("the fork server ended")
        return int(answer)


@functools.cache
def fork_server() -> ForkServer:
    """Return the server of this process, which is started when it is first asked for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the server
    program = f"from tests.system.forked_processes import main; main({theirs.fileno()})"
    process = subprocess.Popen(
        [PYTHON, "-c", program],
        cwd=ROOT,
        env=_fixed(os.environ),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    theirs.close()
    server = ForkServer(ours)

    def end() -> None:
        ours.close()
        process.wait(timeout=30)

    atexit.register(end)
    try:
        threads = server.answer()
    except ChildProcessError as error:
        said.seek(0)
        raise ChildProcessError(f"{error}:\n{said.read()}") from None
    assert threads == 1, "a fork would lack the others"
    return server


def _adopt_orphans(adopt: bool) -> None:
    """Say whether a descendant whose parent ends becomes a child of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _fixed(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a forked process has as the fork server has them."""
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith(("MLFLOW_", "TRACKER_")) and name != "PYTHONPATH"
    }


def can_fork(command: list[str], variables: Mapping[str, str]) -> bool:
    """Return whether a fork becomes what this command would start."""
    if sys.platform != "linux" or command[0] not in (PYTHON, SCRIPT):
        return False
    if command[0] == PYTHON and (len(command) == 1 or str(command[1]).startswith("-")):
        return command[1:2] in (["-c"], ["-m"]) and _alike(variables)
    return _alike(variables)


def _alike(variables: Mapping[str, str]) -> bool:
    def read(environment: Mapping[str, str]) -> dict[str, str]:
        kept = _fixed(environment).items()
        return {k: v for k, v in kept if k.startswith(READ_AT_THE_BEGINNING)}

    return read(variables) == read(os.environ)


def popen(
    command: list[str], variables: Mapping[str, str], *, cold: bool = False, **options: Any
) -> subprocess.Popen[Any]:
    """Start a command that leads a session of its own.

    Args:
        command: The program and its arguments.
        variables: Its whole environment.
        cold: Start it from nothing, even if it could be forked.
        options: More of `subprocess.Popen`: ``cwd``, streams, ``text``.
    """
    kind = subprocess.Popen if cold else ForkedPopen
    return kind(command, env=variables, start_new_session=True, **options)
