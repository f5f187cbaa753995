"""Tracker's checkpoints as files of fsspec, by which Lightning looks for what it is to load.

``tracker://RUN_ID/epoch-3-step-120`` reads like the ``.ckpt`` file that Lightning would have
written, so that ``load_from_checkpoint`` and a Trainer without a `TrackerCheckpoint` take it, too.
"""

from __future__ import annotations

import datetime
import io
from typing import Any

import torch
from fsspec import AbstractFileSystem

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import NotFoundError
from tracker.integrations.lightning import random_numbers
from tracker.integrations.lightning.checkpoint_io import files_of, read_dump
from tracker.integrations.lightning.place import RUNS, SCHEME
from tracker.integrations.lightning.versions import installed_version


class TrackerFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Reads checkpoints; there is nothing to write."""

    protocol = SCHEME
    cachable = False

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether there is such a checkpoint.

        Raises:
            RecordError: MLflow can't be reached, which is no answer.
        """
        try:
            self._checkpoint(path)
        except NotFoundError:
            return False
        return True

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what fsspec wants to know of a file.

        Raises:
            FileNotFoundError: There is no such checkpoint.
        """
        try:
            checkpoint = self._checkpoint(path)
        except NotFoundError as error:
            raise FileNotFoundError(str(error)) from error
        return {
            "name": self._strip_protocol(path),
            "size": None,  # it is written when it is read
            "type": "file",
            "created": checkpoint.created_at,
        }

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return the one file that a path names."""
        found = self.info(path)
        return [found if detail else found["name"]]

    def created(self, path: str) -> datetime.datetime:
        """Return when a checkpoint was logged."""
        return self.info(path)["created"]  # type: ignore[no-any-return]

    def modified(self, path: str) -> datetime.datetime:
        """Return when a checkpoint was logged; it is never changed."""
        return self.created(path)

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> io.BytesIO:
        if mode != "rb":
            raise ValueError(f"{path}: checkpoints of tracker can be read here, not written.")
        dump = read_dump(files_of(self._checkpoint(path)), installed_version())
        # With NumPy's, it could not be read with weights_only=True.
        dump.pop(random_numbers.KEY, None)
        buffer = io.BytesIO()
        torch.save(dump, buffer)
        buffer.seek(0)
        return buffer

    def _checkpoint(self, path: str) -> Checkpoint:
        return as_checkpoint(f"{RUNS}{self._strip_protocol(path)}")
