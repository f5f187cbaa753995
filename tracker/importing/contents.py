"""What a checkpoint of others holds, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Contents:
    """One checkpoint, read and recognised.

    Attributes:
        layout: Who writes such files: ``lightning``, ``hugging face``, ``timm``, ``state_dict`` …
        weights: The model's state_dict.
        epoch: As the content says; None if it does not.
        step: As the content says; None if it does not.
        metrics: Numbers by name.
        params: Hyperparameters, as text.
        optimizer: Its state_dict, or None.
        scheduler: Its state_dict, or None.
        states: State_dicts of more objects, by name.
        values: What else there is, by name.
        architecture: The name that it gives its architecture, or "".
        notes: What deserves a look.
    """

    layout: str
    weights: Mapping[str, Any]
    epoch: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    optimizer: Any = None
    scheduler: Any = None
    states: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = ""
    notes: tuple[str, ...] = ()
