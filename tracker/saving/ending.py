"""What happens to checkpoints in flight when a run or the process ends.

They are finished: at the end of their run, when the interpreter exits, and, within a grace period,
after SIGTERM, which is how spot instances and schedulers announce the end. A second Ctrl-C or
SIGTERM does not wait.
"""

from __future__ import annotations

import _thread
import atexit
import concurrent.futures.thread  # noqa: F401 - it has to register its end before we do
import os
import signal
import sys
import threading
from types import FrameType

from tracker.record import run_end
from tracker.saving import deliverer, host_copy, tickets

GRACE_SECONDS = 30
"""How long SIGTERM waits for what was accepted: what Kubernetes gives before it kills."""

_QUIET_SECONDS = 2
"""Waiting for longer than this is said."""

_SECONDS_FOR_A_LAST_TRY = 5
"""How long the end of the process waits for an MLflow that could not be reached."""

_installed: set[str] = set()


def install() -> None:
    """See to it that what is handed over from now on is finished; cheap when called again."""
    if "exit" not in _installed:
        _installed.add("exit")
        _at_exit()
        run_end.watch(before=_finish_run, after=_tell_of_run)
    if "SIGTERM" not in _installed and threading.current_thread() is threading.main_thread():
        _installed.add("SIGTERM")
        # Who has a handler knows better; if it ends the process, the exit flushes.
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _finish_and_die)


def _at_exit() -> None:
    # Executors, which MLflow and we use, refuse work as soon as the main thread has ended, and
    # that is before what is registered with atexit. Only threading's own list is called earlier.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_finish_process)
    # For what another exit handler hands over.
    atexit.register(_finish_process)


def _finish_run(run_id: str) -> None:
    tickets.wait(run_id=run_id)


def _tell_of_run(run_id: str) -> None:
    host_copy.pool().clear()
    # Where an exception is already on its way, that is the one to be seen.
    if sys.exc_info()[0] is None:
        tickets.tell(run_id=run_id, stacklevel=4)


def _finish_process() -> None:
    try:
        late = tickets.wait(_QUIET_SECONDS)
        if late:
            _say(f"saving {len(late)} checkpoint(s) before the process ends; Ctrl-C to give up.")
        _wait_for_all()
        deliverer.try_all_now(_SECONDS_FOR_A_LAST_TRY)
        _wait_for_all()
    except KeyboardInterrupt:
        _say("interrupted.")
    for words in tickets.last_words():
        _say(words)


def _wait_for_all() -> None:
    # Again, because another thread may still be training.
    while tickets.unfinished():
        tickets.wait()


def _finish_and_die(number: int, frame: FrameType | None) -> None:
    """Finish what was accepted, then die by the signal as if there were no handler.

    The main thread goes on meanwhile: it may have been interrupted anywhere, and to hold it would
    be to hold locks that the writer needs. For the same reason no `threading.Thread` is started.
    """
    signal.signal(number, signal.SIG_DFL)  # a second one does not wait
    _thread.start_new_thread(_finish_within_grace, (number,))


def _finish_within_grace(number: int) -> None:
    tickets.wait(GRACE_SECONDS)
    for words in tickets.last_words():
        _say(words)
    os.kill(os.getpid(), number)


def _say(words: str) -> None:
    print(f"tracker: {words}", file=sys.stderr, flush=True)


def _after_fork() -> None:
    """A child of the training process is ended by SIGTERM as it always was."""
    if "SIGTERM" in _installed:
        _installed.discard("SIGTERM")
        if signal.getsignal(signal.SIGTERM) is _finish_and_die:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
