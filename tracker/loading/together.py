"""Loads states into live objects, all of them or none.

Everything was compared before; yet an object may still refuse its state (a ``GradScaler`` that of a
disabled one, ``set_extra_state`` what it does not know). Then those that took theirs get back what
they had.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tracker.errors import MismatchError


@dataclass(frozen=True, slots=True)
class Load:
    """A state that goes into a live object.

    Attributes:
        name: What it is called in errors, for example ``optimizer``.
        target: The object, with ``state_dict()`` and ``load_state_dict()``.
        state: Its state from the checkpoint, already compared with the object.
        strict: Whether a module must get every entry that it has.
    """

    name: str
    target: Any
    state: Mapping[str, Any]
    strict: bool = True


def load_together(loads: Sequence[Load]) -> None:
    """Load every state into its object; modules, which are changed in place, come last.

    Raises:
        MismatchError: An object refused its state; all are as they were.
    """
    undo: list[Callable[[], object]] = []
    for load in sorted(loads, key=lambda load: isinstance(load.target, nn.Module)):
        try:
            undo.append(_way_back(load.target))
            load.target.load_state_dict(load.state, **({} if load.strict else {"strict": False}))
        except Exception as error:
            for put_back in reversed(undo):
                put_back()
            raise MismatchError(
                f"{load.name} refused the checkpoint's state; nothing was changed. Make it as the "
                f"training script did. {type(error).__name__}: {error}"
            ) from error


def _way_back(target: Any) -> Callable[[], object]:
    if isinstance(target, nn.Module):
        # A copy costs as much memory as the weights; only code of its own can refuse what fits.
        return _module_way_back(target) if _loads_by_itself(target) else lambda: None
    before = target.state_dict()
    if not isinstance(target, torch.optim.Optimizer):  # whose tensors are replaced, not written to
        before = copy.deepcopy(before)
    return lambda: target.load_state_dict(before)


_OWN_CODE = ("_load_from_state_dict", "load_state_dict", "set_extra_state")


def _loads_by_itself(model: nn.Module) -> bool:
    return any(
        module._load_state_dict_pre_hooks
        or module._load_state_dict_post_hooks
        or any(_is_own(type(module), name) for name in _OWN_CODE)
        for module in model.modules()
    )


def _is_own(cls: type[nn.Module], name: str) -> bool:
    return not getattr(cls, name).__module__.startswith("torch.nn.")


def _module_way_back(model: nn.Module) -> Callable[[], object]:
    before = {
        key: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for key, value in model.state_dict().items()
        if not is_lazy(value)
    }

    def put_back() -> None:
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if key not in before:
                    continue
                if isinstance(value, Tensor):
                    value.copy_(before[key])
                else:
                    module = model.get_submodule(key.rpartition(".")[0])
                    module.set_extra_state(before[key])

    return put_back
