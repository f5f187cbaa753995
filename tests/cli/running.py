"""Calls the command: in this process, in one of its own, in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from click.testing import CliRunner, Result

from tracker.cli import cli


def invoke(*arguments: str) -> Result:
    """Call the command, which must succeed."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def refused(*arguments: str) -> str:
    """Call the command, which must find the call itself wrong; return what it says."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2, done.output
    assert "Usage: " in done.stderr
    return done.stderr.partition("Error: ")[2].strip()


def in_terminal(*arguments: str, columns: int, **variables: str) -> str:
    """Return what a process of its own writes to a terminal of a width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    command = [sys.executable, "-m", "tracker", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == 0, output.decode()
    return output.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # on Linux the end of a terminal is an error
        return b""
