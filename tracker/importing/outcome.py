"""What became of one checkpoint that was to be imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tracker.checkpoint import Checkpoint

Status: TypeAlias = Literal["imported", "there already", "would be imported", "failed"]


@dataclass(frozen=True, slots=True)
class ImportedCheckpoint:
    """One checkpoint of others, and what became of it.

    Attributes:
        source: Its file or folder.
        status: ``imported``; ``there already``, since it was imported before; ``would be imported``
            of a dry run; or ``failed``.
        checkpoint: The checkpoint that it is now, if it is one.
        reason: Why it failed, or where it is already.
        layout: Who writes such files: ``lightning``, ``hugging face``, ``timm``, ``ignite``,
            ``training dict``, ``state_dict``, ``safetensors``.
        epoch: Its epoch, if anything tells.
        step: Its step, if anything tells.
        metrics: Its metrics by name.
        params: Its hyperparameters.
        tensors: How many tensors its weights are.
        run: The run that it belongs to: its id, or the name of one that would be made.
        notes: What deserves a look, such as parts that could not be kept.
    """

    source: str
    status: Status
    checkpoint: Checkpoint | None = None
    reason: str = ""
    layout: str = ""
    epoch: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tensors: int = 0
    run: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "source": self.source,
            "status": self.status,
            "id": None if self.checkpoint is None else self.checkpoint.id,
            "reason": self.reason,
            "layout": self.layout,
            "epoch": self.epoch,
            "step": self.step,
            "metrics": dict(self.metrics),
            "params": dict(self.params),
            "tensors": self.tensors,
            "run": self.run,
            "notes": list(self.notes),
        }
