"""Starts Python's processes by a fork of one that has imported everything already.

Importing torch and MLflow takes most of what a short script takes. A `ForkedPopen` is a
`subprocess.Popen` whose process is forked instead of started from nothing, and is a child of ours
like any other: it has its own session, can be waited for, signalled and killed. What must begin as
on a user's machine (imports, their order, the environment that they read) is started ``cold``.
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

READ_AT_THE_BEGINNING = ("PYTHON", "LD_", "MALLOC", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "TORCH")
"""Beginnings of variables that count before a process could set them, but for PYTHONPATH."""

WHOLE_END = "FORKED_TAKEN_APART"
"""A variable for a forked process that Python is to take apart at its end.

Others leave when all is done that Python promises to do then, which saves half a second.
"""

PR_SET_CHILD_SUBREAPER = 36

BEGINNING = inspect.signature(subprocess.Popen._execute_child)


class ProcessElsewhere(subprocess.Popen[Any]):
    """A `subprocess.Popen` whose process is begun by another one.

    There is no public way to change how a `Popen` begins its process, so this overrides a private
    one; ``test_forked.py`` fails when that moves.
    """

    def _begin(self, order: dict[str, Any], descriptors: list[int]) -> int:
        """Have a process do what is ordered with these standard streams; return its id."""
        raise NotImplementedError

    def _execute_child(self, *arguments: Any) -> None:
        given = BEGINNING.bind(self, *arguments).arguments
        streams = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        order = {
            "command": [str(part) for part in given["args"]],
            "directory": str(given["cwd"] or os.getcwd()),
            "variables": dict(os.environ if given["env"] is None else given["env"]),
        }
        own = [number if each == -1 else each for number, each in enumerate(streams)]
        self.pid = self._begin(order, own)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[end] for end in ends))


class ForkedPopen(ProcessElsewhere):
    """A process that this session's fork server forks. It leads a session of its own."""

    def _begin(self, order: dict[str, Any], descriptors: list[int]) -> int:
        return _fork_server().fork(order, descriptors)


class _ForkServer:
    """The process of `forked_processes`, which ends with this one."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the server
        program = f"from tests.system.forked_processes import main; main({theirs.fileno()})"
        with theirs:
            self._process = subprocess.Popen(
                [PYTHON, "-c", program],
                cwd=ROOT,
                env=_fixed(os.environ),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )
        atexit.register(self._close)
        assert self._answer() == 1, "a fork would lack the other threads"

    def fork(self, order: dict[str, Any], descriptors: list[int]) -> int:
        with self._asking:
            _adopt_orphans(True)
            try:
                socket.send_fds(self._socket, [json.dumps(order).encode()], descriptors)
                return self._answer()
            finally:
                _adopt_orphans(False)

    def _answer(self) -> int:
        answer = self._socket.recv(100)
        if not answer:
            self._said.seek(0)
            raise AssertionError(f"The fork server ended:\n{self._said.read()}")
        return int(answer)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=30)


@functools.cache
def _fork_server() -> _ForkServer:
    return _ForkServer()


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
    if command[0] == PYTHON and command[1].startswith("-") and command[1] not in ("-c", "-m"):
        return False

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
    if not cold and can_fork(command, variables):
        return ForkedPopen(command, env=variables, **options)
    return subprocess.Popen(command, env=variables, start_new_session=True, **options)
