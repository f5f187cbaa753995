"""Runs constructors so that nobody notices: no prints, no random numbers used, nothing reached.

A model is constructed again when it is logged, for the proof, and when it is loaded. Neither is the
moment to download weights, write files or start processes. What a constructor tries of that kind
is refused with a PermissionError, which code that can do without it catches.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_EVENTS = {
    "socket.connect": "connect to the network",
    "socket.getaddrinfo": "look up the host {0!r}",
    "socket.bind": "listen on the network",
    "subprocess.Popen": "start the program {0!r}",
    "os.system": "run the command {0!r}",
    "os.exec": "start the program {0!r}",
    "os.posix_spawn": "start the program {0!r}",
    "os.fork": "start a process",
    "os.remove": "delete {0!r}",
    "os.rename": "rename {0!r}",
    "os.mkdir": "make the folder {0!r}",
    "os.rmdir": "delete the folder {0!r}",
    "os.link": "make the link {1!r}",
    "os.symlink": "make the link {1!r}",
    "pickle.find_class": "unpickle {0}.{1}",
    "os.truncate": "change the file {0!r}",
}
"""What a constructor is refused, by the name that Python's audit events have for it."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class NoisyConstructorError(PermissionError):
    """A constructor tried to reach the network, to write a file or to start a program."""


class _Listening(threading.local):
    """What was tried on this thread, while somebody listens."""

    tried: list[str] | None = None


_listening = _Listening()


@contextlib.contextmanager
def quietly(*, refuse: bool = True) -> Iterator[list[str]]:
    """Contain what a constructor does beside constructing.

    Args:
        refuse: Refuse what reaches out of the process. Otherwise only prints and the random
            generators are contained.

    Yields:
        What was tried and refused, in words; filled while the block runs.
    """
    _install()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    silence, before, tried = io.StringIO(), _listening.tried, list[str]()
    _listening.tried = tried if refuse else None
    try:
        with (
            torch.random.fork_rng(),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            yield tried
    finally:
        _listening.tried = before
        random.setstate(python_state)
        np.random.set_state(numpy_state)


class WithoutInitialising(TorchFunctionMode):
    """Leaves out random initialisation on the meta device, where there is nothing to initialise.

    Torch would import its compiler for some of it, which takes longer than everything else.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALISING:
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **(kwargs or {}))


_RANDOM = "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_".split()
_INITIALISING = frozenset(
    [
        *(getattr(Tensor, name) for name in _RANDOM),
        *(
            function
            for name, function in vars(torch.nn.init).items()
            if name.endswith("_") and name[0] != "_"
        ),
    ]
)


@cache
def _install() -> None:
    tempfile.gettempdir()  # which is found by trying to write
    # Once and for good: Python has no way to remove an audit hook.
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    tried = _listening.tried
    if tried is None:
        return
    what = _written_file(arguments) if event == "open" else _EVENTS.get(event)
    if what is not None and not _is_excused(arguments):
        tried.append(what.format(*arguments))
        raise NoisyConstructorError(f"a model's constructor may not {tried[-1]}")


def _written_file(arguments: tuple[Any, ...]) -> str | None:
    path, _mode, flags = arguments
    writes = isinstance(flags, int) and flags & _WRITING
    if not writes or path == os.devnull or isinstance(path, int):
        return None
    return "write the file {0!r}"


def _is_excused(arguments: tuple[Any, ...]) -> bool:
    """Return whether a module is being imported, or a temporary file made.

    What a module does when it is imported, it does in every program. Temporary files are nobody's:
    some libraries generate code in them, and go a slower way for good if they can't.
    """
    frame = sys._getframe(2)
    while frame is not None and not _is_own(frame.f_globals):
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        if frame.f_globals is vars(tempfile):
            here = os.path.join(tempfile.gettempdir(), "")
            return bool(arguments) and os.path.join(str(arguments[0]), "").startswith(here)
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_own(names: dict[str, Any]) -> bool:
    return str(names.get("__name__")).startswith(__package__)
