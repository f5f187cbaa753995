"""Whether an optimizer has the parameters that it had when it was logged, by their names.

Optimizers keep their state by the number of a parameter. Two scripts that give them the same
parameters in another order make a state that can be loaded and belongs to others: where shapes
happen to be equal, nothing else would notice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from tracker.training.parameter_names import Names

_ELEMENTWISE = frozenset(
    {
        "exp_avg",
        "exp_avg_sq",
        "exp_inf",
        "max_exp_avg_sq",
        "momentum_buffer",
        "square_avg",
        "acc_delta",
        "grad_avg",
        "step_size",
        "sum",
        "ax",
        "prev",
    }
)
"""State that torch's optimizers keep in the shape of the parameter."""


def compare_optimizers(
    saved: Mapping[str, Any],
    saved_names: Names | None,
    optimizer: Any,
    live: Names,
    known: Collection[str],
) -> list[str]:
    """Return what keeps an optimizer's state from fitting another, a line each.

    Args:
        saved: The ``state_dict()`` from the checkpoint.
        saved_names: The names of its parameters; None if the checkpoint does not have them.
        optimizer: The live optimizer.
        live: The names of its parameters.
        known: The names of all parameters of the modules that are given.
    """
    groups = saved["param_groups"]
    sizes = [len(group["params"]) for group in groups]
    if saved_names is None or [len(names) for names in saved_names] != sizes:
        saved_names = [[None] * size for size in sizes]
    # Of a module that is not given here no parameter can be recognised.
    logged: Names = [[n if n in known else None for n in names] for names in saved_names]
    problems = list(_places(logged, live))
    return problems or list(_shapes(saved, optimizer, live))


def _places(logged: Names, live: Names) -> Iterator[str]:
    before, now = _by_name(logged), _by_name(live)
    if len(logged) != len(live):
        yield f"it has {_groups(len(live))}, the checkpoint {len(logged)}"
    for name, (group, _) in before.items():
        if name not in now:
            yield f"{name} is missing in it; the checkpoint has it in group {group}"
        elif now[name][0] != group:
            yield f"{name} is in group {now[name][0]}; the checkpoint has it in group {group}"
    sizes, own = list(map(len, logged)), list(map(len, live))
    nameless = any(name is None for names in logged for name in names)
    for name, (group, _) in now.items():
        if name not in before and not (nameless and sizes == own):
            yield f"{name}, in group {group}, is not in that of the checkpoint"
    for group, (size, found) in enumerate(zip(sizes, own, strict=False)):
        if size != found:
            yield f"group {group} has {found} parameters, the checkpoint {size}"
    moved = [name for name, place in before.items() if now.get(name, place) != place]
    if sizes == own and moved and all(now[name][0] == before[name][0] for name in moved):
        yield "its parameters are in another order:"
        for name in moved:
            (group, position), (_, logged_at) = now[name], before[name]
            yield f"{name} is number {position} of group {group}, in the checkpoint {logged_at}"
    if any(name is None for names in live for name in names) and before.keys() - now.keys():
        yield (
            "it has parameters that are none of the model's: it was made for another instance, or "
            "before the model's parameters were replaced"
        )


def _by_name(names: Names) -> dict[str, tuple[int, int]]:
    return {
        name: (group, position)
        for group, each in enumerate(names)
        for position, name in enumerate(each)
        if name is not None
    }


def _groups(count: int) -> str:
    return f"{count} parameter group{'s' if count != 1 else ''}"


def _shapes(saved: Mapping[str, Any], optimizer: Any, live: Names) -> Iterator[str]:
    state = saved.get("state") or {}
    for before, now, names in zip(saved["param_groups"], optimizer.param_groups, live, strict=True):
        for key, parameter, name in zip(before["params"], now["params"], names, strict=True):
            entries = state.get(key, {})
            for what, value in entries.items() if isinstance(entries, Mapping) else ():
                if _is_misshapen(value, parameter, what):
                    yield (
                        f"{what} of {name or f'parameter {key}'} is {[*value.shape]}, the "
                        f"parameter {[*parameter.shape]}"
                    )


def _is_misshapen(value: Any, parameter: Tensor, what: Any) -> bool:
    return (
        what in _ELEMENTWISE
        and isinstance(value, Tensor)
        and value.dim() > 0
        and value.shape != parameter.shape
    )


def compare_schedulers(
    saved: Any, scheduler: Any, parts: Sequence[str], own: Sequence[str]
) -> list[str]:
    """Return what keeps a scheduler's state from fitting another, a line each.

    Args:
        saved: The ``state_dict()`` from the checkpoint.
        scheduler: The live scheduler.
        parts: The classes of the schedulers that the logged one consisted of.
        own: Those of the live one.
    """
    problems = []
    if parts and list(parts) != list(own):
        problems.append(f"it consists of {_shown(own)}; that of the checkpoint of {_shown(parts)}")
    if not isinstance(saved, Mapping):
        return problems
    for key in ("base_lrs", "lr_lambdas", "_schedulers"):
        before, now = saved.get(key), getattr(scheduler, key, None)
        if isinstance(before, list) and isinstance(now, list) and len(before) != len(now):
            problems.append(
                f"its {key} has {len(now)} entries, that of the checkpoint {len(before)}"
            )
    return problems


def _shown(classes: Sequence[str]) -> str:
    return ", ".join(each.rpartition(":")[2] for each in classes) or "no others"
