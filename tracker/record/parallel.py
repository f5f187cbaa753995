"""Works on several things at once, without keeping the interpreter from exiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_AT_ONCE = 4


class Running:
    """Threads at work, four things at once.

    They are daemons, because those of an executor keep the interpreter from exiting, for minutes
    where MLflow tries to reach a server that is gone.

    Args:
        work: Called with each thing.
        things: The things, in the order in which they begin.
        name: What the threads are called.
    """

    def __init__(self, work: Callable[[T], object], things: Sequence[T], name: str) -> None:
        self._errors: list[BaseException] = []
        todo: queue.SimpleQueue[T] = queue.SimpleQueue()
        for thing in things:
            todo.put(thing)

        def run() -> None:
            while not self._errors:
                try:
                    work(todo.get_nowait())
                except queue.Empty:
                    return
                except BaseException as error:  # noqa: BLE001 - finish() raises it
                    self._errors.append(error)

        self._threads = [
            threading.Thread(target=run, name=f"{name} {number}", daemon=True)
            for number in range(min(_AT_ONCE, len(things)))
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until all is done, at most that long; return whether it is."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Wait until all is done, or has ended; after an error nothing else begins.

        Raises:
            BaseException: The first that was raised.
        """
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
