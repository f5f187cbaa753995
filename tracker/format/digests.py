"""BLAKE3 digests, as lowercase hex."""

from __future__ import annotations

import mmap
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from blake3 import blake3

Data: TypeAlias = "bytes | memoryview | mmap.mmap"

_BYTES_PER_THREAD = 1 << 20
"""Starting a thread for less costs more than it saves."""

_MAX_THREADS = 16
"""More do not hash faster than memory can be read."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(data: Data) -> str:
    """Return the BLAKE3 digest of ``data``; large data is hashed on every core, without the GIL.

    Example:
        >>> digest(b"")[:8]
        'af1349b9'
    """
    # Not blake3.AUTO: its threads are started once, and in a forked child, which has none of them,
    # it would wait for them for ever.
    threads = max(1, min(_cores(), len(data) // _BYTES_PER_THREAD))
    return blake3(data, max_threads=threads).hexdigest()


def digests(parts: Sequence[Data]) -> list[str]:
    """Return the digest of each part, on every core, be they few and large or many and small.

    Example:
        >>> digests([b"", b""]) == [digest(b"")] * 2
        True
    """
    found = [""] * len(parts)
    small = []
    for number, part in enumerate(parts):
        if len(part) < _cores() * _BYTES_PER_THREAD:
            small.append(number)
        else:  # it has work for all cores by itself
            found[number] = digest(part)
    todo, taking = _groups(parts, small), threading.Lock()

    def work() -> None:
        while True:
            with taking:
                group = next(todo, None)
            if group is None:
                return
            for number in group:
                found[number] = blake3(parts[number], max_threads=1).hexdigest()

    threads = min(_cores(), sum(len(parts[number]) for number in small) // _BYTES_PER_THREAD)
    _run_on(threads, work)
    # A thread that failed left some to the caller, where an error is seen.
    return [each or digest(part) for each, part in zip(found, parts, strict=True)]


def _cores() -> int:
    return min(os.cpu_count() or 1, _MAX_THREADS)


def _groups(parts: Sequence[Data], numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield numbers of parts that are together worth the work of handing them to a thread."""
    group: list[int] = []
    size = 0
    for number in numbers:
        group.append(number)
        size += len(parts[number])
        if size >= _BYTES_PER_THREAD:
            yield group
            group, size = [], 0
    if group:
        yield group


def _run_on(count: int, work: Callable[[], None]) -> None:
    """Call ``work`` in so many threads, of which the caller's is one."""
    threads = []
    for _ in range(count - 1):
        thread = threading.Thread(target=work, name="tracker digests", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # an exiting interpreter starts none
            break
        threads.append(thread)
    work()
    for thread in threads:
        thread.join()


def is_digest(text: str) -> bool:
    """Return whether ``text`` is 64 lowercase hex digits."""
    return _DIGEST.fullmatch(text) is not None
