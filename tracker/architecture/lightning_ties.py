"""What ties a LightningModule to the Trainer that trains it, and is no part of the module.

Lightning itself leaves the Trainer out when a module is pickled. The rest is of the moment: which
hook runs, which metrics were found by their ids, what ``torch.compile`` made of the steps.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_TIES = (
    "_trainer",
    "_fabric",
    "_device_mesh",
    "_current_fx_name",
    "_metric_attributes",
    "_compiler_ctx",
)
"""Attributes that Lightning's own constructor leaves at None."""

_FABRIC_OPTIMIZERS = "_fabric_optimizers"
_COMPILED = ("forward", "training_step", "validation_step", "test_step", "predict_step")


def has_ties(module: nn.Module) -> bool:
    """Return whether a module is a LightningModule that a Trainer, or Fabric, has in hand."""
    known = module.__dict__
    return "_trainer" in known and any(known.get(name) is not None for name in _TIES)


def cut(attributes: dict[str, Any]) -> None:
    """Leave a LightningModule's attributes as they are when no Trainer has it in hand."""
    if attributes.get("_compiler_ctx") is not None:
        for name in _COMPILED:
            attributes.pop(name, None)
    for name in _TIES:
        if name in attributes:
            attributes[name] = None
    # A new list would be a change, and the module be described again every time.
    if attributes.get(_FABRIC_OPTIMIZERS):
        attributes[_FABRIC_OPTIMIZERS] = []
