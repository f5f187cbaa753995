"""Loads an optimizer's state as it was, which ``Optimizer.load_state_dict`` alone does not.

That method converts every tensor of the state to the dtype of its parameter (a 32-bit average of a
16-bit parameter, a count), makes text and arrays into what their class makes of an iterator, and
dicts of all kinds into plain ones. Where the parameter is what it was, the state must be, too.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_UNHARMED = (Tensor, dict, list, tuple, set, frozenset)
"""What the method makes again as it was, apart from the dtypes of tensors."""

IsKept = Callable[[Tensor], bool]
"""Whether a parameter has the dtype that it had when the state was logged."""


def load_optimizer(
    optimizer: Any, state: Mapping[str, Any], is_kept: IsKept = lambda parameter: True
) -> None:
    """Load a state into an optimizer.

    One with a ``load_state_dict`` of its own is left to it.

    Args:
        optimizer: The optimizer; its parameter groups are those of the state.
        state: What its ``state_dict()`` returned; taken over, not copied.
        is_kept: Asked for each parameter.
    """
    if not is_plain(optimizer):
        optimizer.load_state_dict(state)
        return
    groups = _on_device(state["param_groups"], optimizer.param_groups)
    entries = {key: _harmless(value) for key, value in state["state"].items()}
    optimizer.load_state_dict({**state, "param_groups": groups, "state": entries})
    for before, group in zip(groups, optimizer.param_groups, strict=True):
        for key, parameter in zip(before["params"], group["params"], strict=True):
            saved = state["state"].get(key)
            if isinstance(saved, Mapping):
                exact = _Exact(parameter, group, is_kept(parameter))
                loaded = optimizer.state[parameter]
                for name, value in saved.items():
                    if name in loaded:
                        loaded[name] = exact.of(value, loaded[name], name)


def is_plain(optimizer: Any) -> bool:
    """Return whether an optimizer loads its state by torch's own method."""
    method = torch.optim.Optimizer.load_state_dict
    return isinstance(optimizer, torch.optim.Optimizer) and (
        getattr(type(optimizer), "load_state_dict", None) is method
    )


def _on_device(saved: Any, live: Any) -> Any:
    """Return parameter groups with tensors, such as a learning rate, where the live ones are."""
    moved = []
    for before, now in zip(saved, live, strict=True):
        group = dict(before)
        for key, value in before.items():
            own = now.get(key)
            if isinstance(value, Tensor) and isinstance(own, Tensor):
                group[key] = value.to(own.device)
        moved.append(group)
    return moved


def _harmless(value: Any) -> Any:
    """Return a state without what the method can't take, or would make into something else."""
    if isinstance(value, Mapping) and isinstance(value, dict):
        return {key: _harmless(each) for key, each in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_harmless(each) for each in value)
    return None if isinstance(value, Iterable) and not isinstance(value, Tensor) else value


class _Exact:
    """What the state of one parameter was, where the parameter is now."""

    def __init__(self, parameter: Tensor, group: Mapping[str, Any], kept: bool) -> None:
        self._parameter = parameter
        self._kept = kept
        self._step_is_moved = bool(group.get("capturable") or group.get("fused"))

    def of(self, saved: Any, loaded: Any, key: object) -> Any:
        """Return a value of the state, from what was saved and what was made of it."""
        if isinstance(saved, Tensor):
            return self._tensor(saved, loaded, key) if isinstance(loaded, Tensor) else loaded
        if isinstance(loaded, Tensor):  # the optimizer has made it one: a count of old versions
            return loaded
        if isinstance(saved, dict) and isinstance(loaded, dict):
            made = copy.copy(saved)
            made.update({k: self.of(v, loaded[k], k) for k, v in saved.items() if k in loaded})
            return made
        if type(saved) in (list, tuple) and type(loaded) is type(saved):
            return type(saved)(map(lambda a, b: self.of(a, b, None), saved, loaded))
        return self._moved(saved)

    def _tensor(self, saved: Tensor, loaded: Tensor, key: object) -> Tensor:
        if (
            saved.dtype != loaded.dtype
            and self._kept
            and not (key == "step" and self._step_is_moved)
        ):
            loaded = saved.to(loaded.device)
        return _laid_out(loaded, self._parameter)

    def _moved(self, value: Any) -> Any:
        """Return a value that the method was not given, its tensors beside the parameter."""
        if isinstance(value, Tensor):
            return _laid_out(value.to(self._parameter.device), self._parameter)
        if isinstance(value, dict):
            made = copy.copy(value)
            made.update({key: self._moved(each) for key, each in value.items()})
            return made
        if isinstance(value, deque):
            return deque(map(self._moved, value), value.maxlen)
        if type(value) in (list, tuple):
            return type(value)(map(self._moved, value))
        return value


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a tensor in the order of its parameter in memory; fused kernels go by that alone.

    Files hold tensors in C order, whatever order they had.
    """
    if (
        type(value) is not Tensor
        or type(parameter) not in (Tensor, nn.Parameter)
        or value.shape != parameter.shape
        or value.layout != torch.strided
        or parameter.layout != torch.strided
        or parameter.is_contiguous()
        or value.stride() == parameter.stride()
    ):
        return value
    like = torch.empty_like(parameter, dtype=value.dtype, device=value.device, requires_grad=False)
    return like.copy_(value)
