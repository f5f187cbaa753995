"""What a callback of the Trainer is given at an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class Moment:
    """What a callback of the Trainer is given.

    Attributes:
        args: The ``TrainingArguments``.
        state: The ``TrainerState``.
        objects: ``model``, ``optimizer``, ``lr_scheduler``, ``processing_class`` and more, by name.
    """

    args: Any
    state: Any
    objects: Mapping[str, Any]

    @property
    def model(self) -> nn.Module:
        """The model."""
        model: nn.Module = self.objects["model"]
        return model

    @property
    def optimizer(self) -> Any:
        """The optimizer itself, without what Accelerate put around it."""
        return _inside(self.objects.get("optimizer"), "optimizer")

    @property
    def scheduler(self) -> Any:
        """The learning-rate scheduler itself."""
        return _inside(self.objects.get("lr_scheduler"), "scheduler")

    @property
    def scaler(self) -> Any:
        """The gradient scaler of training in half precision, or None."""
        return getattr(self.objects.get("optimizer"), "scaler", None)

    @property
    def processing_class(self) -> Any:
        """The tokenizer or processor: the Trainer's, else that of its data collator."""
        given = self.objects.get("processing_class")
        if given is not None:
            return given
        collator = getattr(self.objects.get("train_dataloader"), "collate_fn", None)
        # The Trainer may have put around it what removes columns.
        return getattr(getattr(collator, "data_collator", collator), "tokenizer", None)


def _inside(wrapped: Any, name: str) -> Any:
    """Return what Accelerate has wrapped, by its public attribute."""
    if type(wrapped).__module__.partition(".")[0] == "accelerate":
        return getattr(wrapped, name, wrapped)
    return wrapped
