"""Notices what no loading may do, by Python's own audit events.

An audit hook can't be removed or avoided from Python, so nothing that an attack does goes unseen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

FORBIDDEN = (
    "canary",
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "webbrowser.open",
)
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Canary:
    """Listens from the moment that it is made.

    Args:
        writable: The one folder that may be written to.
        secret: A file that must not be opened.
    """

    def __init__(self, writable: Path, secret: Path) -> None:
        self._writable = str(writable)
        self._secret = str(secret)
        self._heard: list[str] | None = None
        sys.addaudithook(self._on_event)

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Yield what is heard while the block runs, modules that were imported included."""
        heard = self._heard = []
        before = set(sys.modules)
        try:
            yield heard
        finally:
            self._heard = None
            heard.extend(f"import {name}" for name in sorted(set(sys.modules) - before))

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._heard is not None and self._is_forbidden(event, arguments):
            self._heard.append(f"{event} {arguments!r}"[:200])

    def _is_forbidden(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or path == os.devnull:
                return False
            written = bool(isinstance(flags, int) and flags & WRITING)
            return self._secret in os.fsdecode(path) or (written and self._is_outside(path))
        if event == "exec":
            code = arguments[0]
            return not isinstance(code, CodeType) or code.co_filename.endswith("of a checkpoint>")
        if event in CHANGING:
            return self._is_outside(arguments[0])
        return event in FORBIDDEN

    def _is_outside(self, path: Any) -> bool:
        return not os.fsdecode(path).startswith(self._writable)
