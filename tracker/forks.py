"""Keeps a fork out of the database transactions of other threads.

SQLite counts its locks for each process. A child that is forked in the middle of a transaction of a
thread that it does not have would find the database locked for ever.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_WAIT = 0.5
"""Seconds; a transaction takes milliseconds, and what takes longer than this waits for others."""

# Reentrant, because a signal handler may come in the middle, in the same thread.
_changed = threading.Condition(threading.RLock())
_inside: Counter[int] = Counter()
"""By thread, how many transactions it is in."""


@contextmanager
def kept_out() -> Iterator[None]:
    """Let no other thread fork this process until the block ends, or half a second is over."""
    thread = threading.get_ident()
    with _changed:
        _inside[thread] += 1
    try:
        yield
    finally:
        with _changed:
            _inside[thread] -= 1
            if _inside[thread] <= 0:
                del _inside[thread]
            _changed.notify_all()


def _others_are_outside() -> bool:
    return not _inside.keys() - {threading.get_ident()}


def _before_fork() -> None:
    _changed.acquire()  # until the fork is over, so that no thread enters
    _changed.wait_for(_others_are_outside, _LONGEST_WAIT)


def _after_fork_in_child() -> None:
    global _changed
    own = _inside[threading.get_ident()]
    _inside.clear()
    if own:
        _inside[threading.get_ident()] = own
    _changed = threading.Condition(threading.RLock())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _changed.release(),
        after_in_child=_after_fork_in_child,
    )
