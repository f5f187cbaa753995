"""BLAKE3 digests, as lowercase hex."""

from __future__ import annotations

import mmap
import os
import re

from blake3 import blake3

_BYTES_PER_THREAD = 1 << 20
"""Starting a thread for less costs more than it saves."""

_MAX_THREADS = 16
"""More do not hash faster than memory can be read."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(data: bytes | memoryview | mmap.mmap) -> str:
    """Return the BLAKE3 digest of ``data``; large data is hashed on every core, without the GIL.

    Example:
        >>> digest(b"")[:8]
        'af1349b9'
    """
    # Not blake3.AUTO: its threads are started once, and in a forked child, which has none of them,
    # it would wait for them for ever.
    cores = min(os.cpu_count() or 1, _MAX_THREADS)
    threads = max(1, min(cores, len(data) // _BYTES_PER_THREAD))
    return blake3(data, max_threads=threads).hexdigest()


def is_digest(text: str) -> bool:
    """Return whether ``text`` is 64 lowercase hex digits."""
    return _DIGEST.fullmatch(text) is not None
