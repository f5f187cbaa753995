"""Which parameters of a model an optimizer has, in which place: by name, as people know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from tracker.architecture.wrappers import plain_key, unwrapped

Names = list[list[str | None]]
"""Of each parameter group the names in order; None for a parameter that is of no known module."""


def parameter_names(optimizer: Any, modules: Mapping[str, nn.Module]) -> Names | None:
    """Return the names of an optimizer's parameters, group by group.

    Args:
        optimizer: Anything with ``param_groups``.
        modules: Where parameters may be from, by the prefix of their names: the model by "".

    Returns:
        The names; None if the object has no parameter groups.

    Example:
        >>> parameter_names(torch.optim.SGD(model.parameters()), {"": model})
        [['layers.0.weight', 'layers.0.bias']]
    """
    groups = getattr(optimizer, "param_groups", None)
    if not isinstance(groups, list) or not all(_has_parameters(group) for group in groups):
        return None
    known = names_by_identity(modules)
    return [[known.get(id(each)) for each in group["params"]] for group in groups]


def names_by_identity(modules: Mapping[str, nn.Module]) -> dict[int, str]:
    """Return the names of all parameters of some modules by the ``id`` of the parameter."""
    known: dict[int, str] = {}
    for prefix, module in modules.items():
        start = f"{prefix}." if prefix else ""
        for name, parameter in unwrapped(module).named_parameters():
            known.setdefault(id(parameter), start + plain_key(name))
    return known


def modules_among(model: nn.Module, state: Mapping[str, Any] | None) -> dict[str, nn.Module]:
    """Return the model by "" and the modules of ``state=`` by their names there."""
    others = {n: part for n, part in (state or {}).items() if isinstance(part, nn.Module)}
    return {"": model, **others}


def _has_parameters(group: Any) -> bool:
    parameters = group.get("params") if isinstance(group, Mapping) else None
    return isinstance(parameters, Iterable) and all(isinstance(p, Tensor) for p in parameters)
