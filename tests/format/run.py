"""Checkpoints of one run as they lie in a store, each written with what the one before had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from tracker.format import StoredCheckpoint, Written, known_tensors, open_checkpoint
from tracker.format import write_checkpoint as write
from tracker.format.reuse import StoredTensor, TensorKey

from .examples import content


class Run:
    """A folder of checkpoints, ``m-0``, ``m-1``, …

    Attributes:
        folder: The folder.
        written: What was written, in order.
        known: Where the tensors of the last one are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Written] = []
        self.known: dict[TensorKey, StoredTensor] = {}

    def log(self, tensors: dict[str, dict[str, Tensor]], **changes: Any) -> Written:
        name = f"m-{len(self.written)}"
        parts = content(tensors=tensors, **({"source": (), "extra_files": {}} | changes))
        self.written.append(write(self.directory(name), parts, known=self.known))
        self.known = known_tensors(self.written[-1].manifest, name, self.written[-1].samples)
        return self.written[-1]

    def directory(self, checkpoint: str, file: str = "") -> Path:
        return self.folder / checkpoint

    def open(self, number: int) -> StoredCheckpoint:
        digest = self.written[number].manifest_digest
        return open_checkpoint(
            self.directory(f"m-{number}"), manifest_digest=digest, locate=self.directory
        )
