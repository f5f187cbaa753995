"""Sees the plain model in one that ``torch.distributed`` has spread over processes.

``fully_shard`` (FSDP2) gives modules a class of its own, derived from theirs, and hangs hooks on
them; ``parallelize_module`` (tensor parallel) and ``distribute_module`` hang hooks. All of them
turn parameters into DTensors. None of this belongs to the model: loaded in another number of
processes, it is spread otherwise, and in one not at all.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from torch import nn

from tracker.errors import InvalidArgumentError

_PACKAGE = "torch.distributed"
_ATTRIBUTES = frozenset(
    {"_is_fsdp_managed_module", "_fsdp_use_orig_params", "_distribute_module_applied"}
)
"""What the functions above note on modules."""

_STATE_KEYS = "__composable_api_state_key_"
"""How attributes begin in which they keep their state; a random id follows."""


def plain_class(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module had before ``fully_shard`` gave it one.

    Example:
        >>> plain_class(fully_shard(Net(hidden=8)))
        <class 'net.Net'>
    """
    cls = type(module)
    # Where nobody has imported it, there is none.
    fsdp: Any = sys.modules.get(f"{_PACKAGE}.fsdp")
    if fsdp is None or not issubclass(cls, fsdp.FSDPModule):
        return cls
    order = cls.__mro__
    plain: type[nn.Module] = order[order.index(fsdp.FSDPModule) + 1]
    return plain


def fully_sharded(model: nn.Module) -> list[Any]:
    """Return the modules in a model that ``fully_shard`` was applied to."""
    return [module for module in model.modules() if plain_class(module) is not type(module)]


def reshard(model: nn.Module) -> None:
    """Bring parameters back into their parts, which ``fully_shard`` may have left whole.

    So it does with those of the outermost module after a forward pass without a backward pass. They
    are whole in another dtype, too, if training is in mixed precision. The next pass gathers them.
    """
    for module in fully_sharded(model):
        module.reshard()


def is_of_distribution(name: str, value: object) -> bool:
    """Return whether an attribute of a module was put there to spread it."""
    return name in _ATTRIBUTES or name.startswith(_STATE_KEYS) or is_function_of_distribution(value)


def is_function_of_distribution(value: object) -> bool:
    """Return whether a hook, or a method that stands for the class's own, is torch.distributed's.

    What counts is where its code is from: ``functools.wraps`` gives it names of others.
    """
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, types.MethodType):
        value = value.__func__
    if not isinstance(value, types.FunctionType):
        return False
    home = str(value.__globals__.get("__name__", ""))
    return home == _PACKAGE or home.startswith(f"{_PACKAGE}.")


def refuse_flat_parameters(model: nn.Module) -> None:
    """Refuse a model of FSDP's first version, whose parameters lie flattened in others.

    Raises:
        InvalidArgumentError: It is one.
    """
    fsdp: Any = sys.modules.get(f"{_PACKAGE}.fsdp")
    if fsdp is None:
        return
    for name, module in model.named_modules():
        if isinstance(module, fsdp.FullyShardedDataParallel):
            raise InvalidArgumentError(
                f"{f'The part {name!r} of the model' if name else 'The model'} is a "
                "FullyShardedDataParallel, the first version of FSDP, which flattens parameters "
                "into others that can't be described. Shard the model with its successor instead: "
                "torch.distributed.fsdp.fully_shard(model)."
            )
