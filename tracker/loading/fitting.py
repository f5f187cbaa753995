"""Which weights of a checkpoint go into a live model, and what keeps the others out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tracker.architecture.wrappers import plain_key

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor that has another shape in the checkpoint than in the model.

    Attributes:
        key: Its key in the state_dict.
        saved: Its shape in the checkpoint.
        own: Its shape in the model.
    """

    key: str
    saved: tuple[int, ...]
    own: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.key} is {[*self.saved]} in the checkpoint and {[*self.own]} in the model"


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What became of a checkpoint's weights that were to go into a live model.

    Attributes:
        loaded: How many entries of the state_dict fit.
        missing: Keys of the model that the checkpoint does not have; they stay as they are.
        unexpected: Keys of the checkpoint that the model does not have.
        mismatched: Tensors of both, in different shapes; those of the model stay as they are.

    Example:
        >>> report = checkpoint.load_into(model, strict=False)
        >>> print(report)
        loaded: 10 of 12 entries of the model
        missing in the checkpoint: head.bias
        other shapes: head.weight is [10, 64] in the checkpoint and [5, 64] in the model
    """

    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything fits, both ways."""
        return not (self.missing or self.unexpected or self.mismatched)

    def problems(self) -> list[str]:
        """Return what does not fit, a sentence each."""
        return [
            *(f"{key} is missing in the checkpoint" for key in self.missing),
            *(f"{key} is not in the model" for key in self.unexpected),
            *map(str, self.mismatched),
        ]

    def __str__(self) -> str:
        entries = self.loaded + len(self.missing) + len(self.mismatched)
        lines = [f"loaded: {self.loaded} of {entries} entries of the model"]
        for title, found in (
            ("missing in the checkpoint", self.missing),
            ("not in the model", self.unexpected),
            ("other shapes", [str(mismatch) for mismatch in self.mismatched]),
        ):
            if found:
                lines.append(f"{title}: {', '.join(found)}")
        return "\n".join(lines)


def compare_weights(weights: Mapping[str, Any], model: nn.Module) -> WeightsReport:
    """Compare a state_dict with the one that a live model has.

    Keys are those that the model has when no part of it is compiled. Parameters of a lazy module
    take any shape.

    Args:
        weights: The entries of a state_dict, by key.
        model: The live model.
    """
    own = {plain_key(key): value for key, value in model.state_dict().items()}
    mismatched = tuple(
        Mismatch(key, tuple(weights[key].shape), tuple(value.shape))
        for key, value in own.items()
        if key in weights and _differ(weights[key], value)
    )
    return WeightsReport(
        loaded=len(own.keys() & weights.keys()) - len(mismatched),
        missing=tuple(key for key in own if key not in weights),
        unexpected=tuple(key for key in weights if key not in own),
        mismatched=mismatched,
    )


def _differ(saved: Any, own: Any) -> bool:
    return (
        isinstance(saved, Tensor)
        and isinstance(own, Tensor)
        and not is_lazy(own)
        and saved.shape != own.shape
    )


def live_keys(weights: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Return weights by the keys that the live model has for them.

    Parts of it may be compiled, which puts a word into their keys.
    """
    names = {plain_key(key): key for key in model.state_dict()}
    return {names.get(key) or key: value for key, value in weights.items()}


def refusal(what: str, problems: list[str], limit: int = _MAX_NAMED) -> str:
    """Return an error's text: what does not fit, and the first of the reasons."""
    shown = "\n".join(f"  {problem}" for problem in problems[:limit])
    more = f"\n  and {len(problems) - limit} more" if len(problems) > limit else ""
    return f"{what}; nothing was changed:\n{shown}{more}"
