"""A file that goes to the disk while it is being written, so that little is left to wait for.

Else the system keeps what is written in memory, and the sync at the end waits for all of it.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PIECE = 4 << 20
"""Bytes written at once, so that a tensor of any size is flushed on its way."""

_FLUSHED = 16 << 20
"""Bytes that are worth a flush."""

_flush = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have fsync only


class FlushedFile(FileIO):
    """An unbuffered file for writing; large ones are flushed beside by a thread of their own."""

    _executor: ThreadPoolExecutor | None = None
    _flushing: Future[None] | None = None
    _unflushed = 0

    def write(self, data: Buffer, /) -> int:
        """Write the first few bytes of ``data``; return how many.

        Raises:
            OSError: The file refused these or earlier ones.
        """
        count = super().write(memoryview(data)[:_PIECE])
        self._unflushed += count
        if self._unflushed >= _FLUSHED and (self._flushing is None or self._flushing.done()):
            self._flush_beside()
        return count

    def _flush_beside(self) -> None:
        self._wait_for_flush()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="tracker-flush")
        self._flushing = self._executor.submit(_flush, self.fileno())
        self._unflushed = 0

    def _wait_for_flush(self) -> None:
        # The system tells an error once, to whichever flush meets it first.
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            flushing.result()

    def sync(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            OSError: The disk refused something.
        """
        self._wait_for_flush()
        os.fsync(self.fileno())

    def close(self) -> None:
        """Close the file; its descriptor is not given away while a flush uses it."""
        if self._executor is not None:
            self._executor.shutdown()
        super().close()
