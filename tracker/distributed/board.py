"""Messages between the processes of a distributed training, about one checkpoint.

They go through the store by which the processes found each other (``init_process_group``): keys and
values that one of them, or ``torchrun``, serves. Who waits for a message looks for it again and
again, so nothing is held that training may need, and a process that is gone is noticed by the time
that passes.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as distributed

from tracker.errors import DistributedError
from tracker.types import Json

T = TypeVar("T")

_PIECE = 4 << 20
"""Bytes; torch's store takes no more than twice that in one value."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1


def default_store() -> Any:
    """Return the store by which the processes found each other.

    torch has no public function for it. A store of our own would have to be made known by a
    collective, in which a process that does not take part would leave all others hanging.

    Raises:
        DistributedError: There is none, as with MPI.
    """
    from torch.distributed import distributed_c10d

    store = distributed_c10d._get_default_store()
    if store is None:
        raise DistributedError(
            f"The processes use the backend {distributed.get_backend()!r}, which has no store "
            "through which they could agree on a checkpoint; use gloo or nccl."
        )
    return store


class Board:
    """The messages about one checkpoint.

    Args:
        store: Where they are kept.
        prefix: What tells them from those about others.
    """

    def __init__(self, store: Any, prefix: str) -> None:
        self._store = distributed.PrefixStore(prefix, store)  # type: ignore[attr-defined]

    def post(self, key: str, message: Json) -> None:
        """Leave a message under a key, for all.

        Raises:
            DistributedError: The store can't be reached.
        """
        data = zlib.compress(json.dumps(message).encode(), 1)
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
        for number, piece in enumerate(pieces):
            self._set(f"{key}/{number}", base64.b64encode(piece).decode())
        self._set(key, str(len(pieces)))  # at last: now it is there

    def has(self, keys: Iterable[str]) -> bool:
        """Return whether there is a message under every one of the keys."""
        wanted = list(keys)
        return not wanted or bool(self._ask(lambda: self._store.check(wanted)))

    def read(self, key: str) -> Json:
        """Return the message under a key that is there."""
        count = int(self._get(key))
        pieces = [base64.b64decode(self._get(f"{key}/{number}")) for number in range(count)]
        message: Json = json.loads(zlib.decompress(b"".join(pieces)))
        return message

    def clear(self, keys: Iterable[str]) -> None:
        """Remove messages that nobody will read any more, where the store can."""
        for key in keys:
            try:
                if self._store.check([key]):
                    for number in range(int(self._store.get(key))):
                        self._store.delete_key(f"{key}/{number}")
                    self._store.delete_key(key)
            except RuntimeError:
                return  # of files, or of a process that is gone

    @contextmanager
    def beating(self, key: str, seconds: float) -> Iterator[None]:
        """Let others see that this process is alive, while it does what may take long.

        Args:
            key: Under which there is a message that changes meanwhile.
            seconds: How often, at least.
        """
        ended = threading.Event()

        def beat() -> None:
            number = 0
            while not ended.is_set():
                try:
                    self.post(key, number)
                except DistributedError:
                    return  # who could see it is gone
                number += 1
                ended.wait(seconds)

        thread = threading.Thread(target=beat, name="tracker alive", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _set(self, key: str, value: str) -> None:
        self._ask(lambda: self._store.set(key, value))

    def _get(self, key: str) -> bytes:
        return bytes(self._ask(lambda: self._store.get(key)))

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except RuntimeError as error:  # that of torch's network, too
            told = str(error).partition("\n")[0][:200]
            raise DistributedError(
                "The store of the distributed training can't be reached, so the process that "
                f"serves it, rank 0 or torchrun, has probably ended: {told}"
            ) from error


def wait_for(look: Callable[[], T | None], seconds: Callable[[], float]) -> T | None:
    """Return what ``look`` finds, or None when the time is over.

    Args:
        look: Returns what is waited for, or None if it is not there yet.
        seconds: Returns how much time is left.
    """
    pause = _SHORTEST_PAUSE
    while True:
        found = look()
        if found is not None:
            return found
        left = seconds()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


class Patience:
    """How long to wait for others: it begins anew whenever something of them is seen."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin anew."""
        self._until = time.monotonic() + self._seconds

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._until - time.monotonic()
