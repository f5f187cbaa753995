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
from torch.utils.data import DataLoader

from tracker.errors import MismatchError
from tracker.loading.optimizer_state import is_plain, load_optimizer
from tracker.training import random_state


@dataclass(frozen=True, slots=True)
class Load:
    """A state that goes into a live object.

    Attributes:
        name: What it is called in errors, for example ``optimizer``.
        target: The object, with ``state_dict()`` and ``load_state_dict()``.
        state: Its state from the checkpoint, already compared with the object.
        strict: Whether a module must get every entry that it has.
        load: Puts a state into the object; ``load_state_dict`` by default.
    """

    name: str
    target: Any
    state: Mapping[str, Any]
    strict: bool = True
    load: Callable[[Any, Mapping[str, Any]], object] | None = None

    def into_target(self) -> None:
        """Put the state into the object."""
        if self.load is not None:
            self.load(self.target, self.state)
        else:
            self.target.load_state_dict(self.state, **({} if self.strict else {"strict": False}))


def load_together(loads: Sequence[Load]) -> None:
    """Load every state into its object; modules, which are changed in place, come last.

    The global random generators are left as they are.

    Raises:
        MismatchError: An object refused its state; all are as they were.
    """
    undo: list[Callable[[], object]] = []
    with random_state.unchanged():
        for load in sorted(loads, key=lambda load: isinstance(load.target, nn.Module)):
            try:
                undo.append(_way_back(load.target))
                load.into_target()
            except BaseException as error:  # Ctrl-C, too, must not leave half of it
                failed = _put_back(undo)
                if not isinstance(error, Exception):
                    raise
                raise MismatchError(_refused(load, error, failed)) from error


def _put_back(undo: Sequence[Callable[[], object]]) -> list[Exception]:
    failed = []
    for put_back in reversed(undo):
        try:
            put_back()
        except Exception as error:  # noqa: BLE001 - the others go back all the same
            failed.append(error)
    return failed


def _refused(load: Load, error: Exception, failed: Sequence[Exception]) -> str:
    reason = f"{type(error).__name__}: {error}"
    if failed:
        return (
            f"{load.name} refused the checkpoint's state ({reason}), and not everything could be "
            f"put back ({failed[0]}): make the model and all that trains it again."
        )
    return (
        f"{load.name} refused the checkpoint's state; nothing was changed. Make it as the "
        f"training script did. {reason}"
    )


def _way_back(target: Any) -> Callable[[], object]:
    if isinstance(target, nn.Module):
        # A copy costs as much memory as the weights; only what may refuse a state that fits is
        # worth that.
        return _module_way_back(target) if _may_refuse(target) else lambda: None
    if isinstance(target, DataLoader):
        return loader_way_back(target)
    if hasattr(target, "consolidate_state_dict") and hasattr(target, "optim"):
        target = target.optim  # ZeroRedundancyOptimizer; its own state is that of all ranks
    before = target.state_dict()
    if is_plain(target):  # its tensors are replaced, not written to
        return lambda: load_optimizer(target, before)
    before = copy.deepcopy(before)
    return lambda: target.load_state_dict(before)


def load_loader(loader: Any, state: Mapping[str, Any], *, generator: Tensor | None = None) -> None:
    """Put a DataLoader where it was, and its own random generator into the state that it had.

    Going on, it makes an iterator, which draws a number, as it did not when it was logged. Asked
    for its state, it makes it now.
    """
    loader.load_state_dict(state)
    loader.state_dict()
    if generator is not None and loader.generator is not None:
        loader.generator.set_state(generator)


def loader_way_back(loader: Any) -> Callable[[], object]:
    """Return what puts a DataLoader where it is now, without asking it for its state."""
    # Asked for its state it would begin an epoch, and start its workers.
    before = dict(vars(loader))
    own = (getattr(loader, "generator", None), getattr(loader.sampler, "generator", None))
    generators = [(each, each.get_state()) for each in own if isinstance(each, torch.Generator)]

    def put_back() -> None:
        vars(loader).update(before)
        for generator, state in generators:
            generator.set_state(state)

    return put_back


_OWN_CODE = ("_load_from_state_dict", "load_state_dict", "set_extra_state")


def _may_refuse(model: nn.Module) -> bool:
    """Return whether a model loads by code of its own, or has tensors that can't be written to."""
    tensors = (*model.parameters(), *model.buffers())
    return any(map(_is_hard_to_write, tensors)) or any(
        module._load_state_dict_pre_hooks
        or module._load_state_dict_post_hooks
        or any(_is_own(type(module), name) for name in _OWN_CODE)
        for module in model.modules()
    )


def _is_hard_to_write(tensor: Tensor) -> bool:
    if is_lazy(tensor):
        return False
    plain = type(tensor) in (Tensor, nn.Parameter)
    return not plain or tensor.is_inference() or tensor.layout != torch.strided or _overlaps(tensor)


def _overlaps(tensor: Tensor) -> bool:
    return any(n > 1 and step == 0 for n, step in zip(tensor.shape, tensor.stride(), strict=True))


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
                    if not torch.equal(value, before[key]):  # some can't be written to
                        value.copy_(before[key])
                else:
                    module = model.get_submodule(key.rpartition(".")[0])
                    module.set_extra_state(before[key])

    return put_back
