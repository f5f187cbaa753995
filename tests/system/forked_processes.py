"""A fork server: it has imported everything, so a script costs a tenth of the seconds it would.

It has started no thread and opened no file or database, and nothing in it depends on where it runs,
so what it forks is like a process that was started: with a working directory, an environment,
standard streams and a session of its own. `forked` asks it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy

from . import forked
from .forked import FORKED_CHILDREN, ROOT, SCRIPT, WHOLE_END

IMPORTED = (
    "torch torch.distributed torch.utils.data torch.nn.parallel torch._dynamo "
    "mlflow mlflow.cli mlflow.pyfunc mlflow.models mlflow.data "
    "mlflow.store.tracking.sqlalchemy_store mlflow.store.model_registry.sqlalchemy_store "
    "mlflow.store.tracking.rest_store mlflow.store.model_registry.rest_store "
    "mlflow.store.artifact.local_artifact_repo mlflow.store.artifact.mlflow_artifacts_repo "
    "mlflow.store.artifact.http_artifact_repo "
    "mlflow.store.tracking.file_store mlflow.store.tracking.sqlalchemy_workspace_store "
    "mlflow.store.tracking._sql_backend_utils mlflow.protos.internal_pb2 git pandas "
    "alembic.config alembic.command psycopg "
    "sqlalchemy.dialects.sqlite sqlalchemy.dialects.postgresql.psycopg "
    "flask flask_cors flask_wtf fastapi graphene jinja2 "
    "h11 multiprocessing.spawn"
).split()
"""Besides tracker, but for what is only there with another framework.

Of MLflow's server nothing: it reads its environment when it is imported. Nor mlflow.pytorch, which
sets logging up.
"""

LONGEST_ORDER = 1 << 20


class _Ending:
    """The end of a process, in place of half a second in which Python takes its modules apart.

    Python waits for threads first and then calls what is registered with `atexit`, the first last.
    """

    status = 0

    def __call__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(
                AttributeError, ValueError, OSError
            ):  # closed, or nobody there
                stream.flush()
        if self.status == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(self.status & 0xFF)


ending = _Ending()


def main(descriptor: int) -> None:
    """Import everything; fork what the process at the other end of a socket orders."""
    atexit.register(ending)  # before anybody else
    orders = socket.socket(fileno=descriptor)
    _import_all()
    orders.send(str(threading.active_count()).encode())
    serve(orders)


def serve(orders: socket.socket) -> None:
    """Fork what is ordered until nobody can order any more; return in each process, too."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, LONGEST_ORDER, 3)
        if not order:
            return
        ordered = json.loads(order)
        pid = _fork_orphan(descriptors, new_session=ordered["new_session"])
        if pid == 0:
            orders.close()
            return become(ordered)
        orders.send(str(pid).encode())
        for each in descriptors:
            os.close(each)


def _import_all() -> None:
    import tracker

    of_tracker = [each.name for each in pkgutil.walk_packages(tracker.__path__, "tracker.")]
    for name in (*IMPORTED, *of_tracker):
        if not name.startswith(("tracker.__main__", "tracker.integrations.")):
            with contextlib.suppress(ImportError):  # a script that needs it will say so
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else every process would copy all pages of memory when it collects garbage


def _fork_orphan(descriptors: list[int], *, new_session: bool) -> int:
    """Fork a process that has these standard streams, and whose parent is whoever adopts it.

    Returns:
        The process's id, or 0 in it.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between > 0:
        os.waitpid(between, 0)
        os.close(writing)
        told = os.read(reading, 20)
        os.close(reading)
        return int(told)
    parent = os.getpid()
    if os.fork() > 0:
        os._exit(0)
    while os.getppid() == parent:  # until it has ended, nobody has adopted this process
        time.sleep(0.0005)
    if new_session:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.write(writing, str(os.getpid()).encode())
    os.close(writing)
    os.close(reading)
    return 0


def become(order: dict[str, Any]) -> None:
    """Run a command of Python's in this process, which ends after it."""
    has_children = _is_mlflows_server(order["command"]) or FORKED_CHILDREN in order["variables"]
    if has_children and not _fork_children_from_a_fork():
        return
    _settle(order)
    if os.environ.pop(WHOLE_END, None):
        atexit.unregister(ending)
        return _run_command(order["command"])
    ending.status = 1
    try:
        _run_command(order["command"])
        ending.status = 0
    except SystemExit as exit:
        ending.status = _status(exit)
    except BaseException as error:  # noqa: BLE001 - as Python does with what nobody has caught
        frames = error.__traceback__
        while frames and frames.tb_frame.f_globals is globals():
            frames = frames.tb_next
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        if isinstance(error, KeyboardInterrupt):
            ending.status = -signal.SIGINT


def _run_command(command: list[str]) -> None:
    kind, *rest = [SCRIPT, *command[1:]] if command[0] == SCRIPT else command[1:]
    if kind == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *rest[1:]]
        _run(rest[0], "<string>")
    else:
        sys.path.insert(0, str(Path(kind).resolve().parent))
        sys.argv[:] = [kind, *rest]
        file = os.path.abspath(kind)
        _run(Path(file).read_text(), file, __file__=file, __cached__=None)


def _status(exit: SystemExit) -> int:
    """Return the exit status that an exception stands for."""
    if exit.code is None or isinstance(exit.code, int):
        return exit.code or 0
    print(exit.code, file=sys.stderr)
    return 1


def _settle(order: dict[str, Any]) -> None:
    """Take on a working directory, an environment, and all that Python makes of the two."""
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["variables"])
    tempfile.tempdir = None
    numpy.random.seed()  # Python's own random numbers see to that themselves
    sys.orig_argv[:] = order["command"]
    sys.path[:] = [each for each in sys.path if each not in ("", str(ROOT))]
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [os.path.abspath(each) for each in more if each]
    for name in [*sys.modules]:
        if name.partition(".")[0] == "tests":
            del sys.modules[name]


def _run(source: str, file: str, **names: Any) -> None:
    """Run a script as the module ``__main__``."""
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(names)
    exec(compile(source, file, "exec", dont_inherit=True), vars(module))


def _is_mlflows_server(command: list[str]) -> bool:
    """Return whether it is a command that starts another process, which is the server."""
    return command[1:4] in (["-m", "mlflow", "server"], ["-m", "mlflow", "ui"])


def _fork_children_from_a_fork() -> bool:
    """Have the processes that this one starts forked by a fork of it, while it is nothing yet.

    Returns:
        Whether this is the process itself, and not what it has ordered.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        serve(theirs)
        return False
    theirs.close()
    server = forked.ForkServer(ours)
    forked.fork_server = lambda: server
    subprocess.Popen = forked.ForkedPopen  # type: ignore[misc]
    return True
