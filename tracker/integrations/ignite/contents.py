"""What Ignite calls ``to_save``, in the words of `log_checkpoint`, and back.

``to_save`` is a nesting of objects by names that the user chose; tracker knows a model, an
optimizer, a scheduler, and more state by name. The layout, stored with the checkpoint, says under
which of tracker's names each object went, so that it is found again by the user's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ignite.engine import Engine
from ignite.handlers.param_scheduler import BaseParamScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tracker.architecture.wrappers import unwrapped
from tracker.errors import InvalidArgumentError, MismatchError
from tracker.training.stateful import has_state

Layout: TypeAlias = "str | dict[str, Layout] | list[Layout]"
"""The nesting of ``to_save`` with tracker's names in place of the objects: ``model``,
``optimizer``, ``scheduler``, ``state.NAME``."""

MODEL, OPTIMIZER, SCHEDULER = "model", "optimizer", "scheduler"
STATE = "state."


@dataclass(frozen=True, slots=True)
class Contents:
    """The objects of ``to_save`` by what they are to tracker.

    Attributes:
        model: The module that is rebuilt when the checkpoint is loaded.
        optimizer: The first optimizer, or None.
        scheduler: The first scheduler, torch's or Ignite's, or None.
        state: Everything else by name: further modules and optimizers, engines, scalers.
        layout: Where the objects of ``to_save`` went.
    """

    model: nn.Module
    optimizer: Optimizer | None
    scheduler: Any
    state: Mapping[str, Any]
    layout: Layout

    def by_role(self) -> dict[str, Any]:
        """Return the objects by the names that tracker has for them."""
        parts = {MODEL: self.model, OPTIMIZER: self.optimizer, SCHEDULER: self.scheduler}
        parts |= {STATE + name: part for name, part in self.state.items()}
        return {name: part for name, part in parts.items() if part is not None}


def contents_of(to_save: object, model: str | None = None) -> Contents:
    """Return what ``to_save`` holds.

    Args:
        to_save: Objects with ``state_dict()`` and ``load_state_dict()`` by name; dicts and lists of
            them may be nested, as in Ignite.
        model: The name of the module to rebuild, where there are several and none is ``model``.

    Raises:
        InvalidArgumentError: It is no such dict, or which module is meant is not clear.
    """
    objects = _objects(to_save)
    main = _main_module(objects, model)
    places: dict[int, str] = {id(main): MODEL}
    found: dict[str, Any] = {}
    state: dict[str, Any] = {}
    kinds = (
        (OPTIMIZER, (Optimizer,)),
        (SCHEDULER, (LRScheduler, BaseParamScheduler)),
    )
    for name, part in objects.items():
        if id(part) in places:
            continue
        role = next((role for role, kind in kinds if isinstance(part, kind)), None)
        if role is not None and role not in found:
            found[role] = part
            places[id(part)] = role
        else:
            state[name] = part
            places[id(part)] = STATE + name
    layout = _layout(to_save, places)
    return Contents(main, found.get(OPTIMIZER), found.get(SCHEDULER), state, layout)


def roles(to_load: object, layout: Layout) -> dict[str, Any]:
    """Return the objects of ``to_load`` by the names that a checkpoint has their states under.

    Raises:
        MismatchError: The checkpoint does not hold one of them; names it and what there is.
    """
    stored = dict(_leaves(layout))
    wanted = _objects(to_load)
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise MismatchError(
            f"The checkpoint holds no {', '.join(missing)}: it was saved with "
            f"{', '.join(stored)}. Nothing was changed."
        )
    return {stored[name]: part for name, part in wanted.items()}


def names_in(nesting: object) -> set[str]:
    """Return the names of the objects in ``to_save``, or of the places in a layout."""
    return {name for name, _ in _leaves(nesting)}


def filled(layout: Layout, states: Mapping[str, Any]) -> Any:
    """Return a layout with each of tracker's names replaced by the state of that name.

    What the checkpoint does not hold is left out.
    """
    if isinstance(layout, str):
        return states[layout]
    if isinstance(layout, list):
        return [filled(part, states) for part in layout]
    return {
        name: filled(part, states)
        for name, part in layout.items()
        if not isinstance(part, str) or part in states
    }


def engines_in(to_save: object) -> dict[str, Engine]:
    """Return the engines of ``to_save`` by name."""
    return {name: part for name, part in _leaves(to_save) if isinstance(part, Engine)}


def is_layout(value: object) -> bool:
    """Return whether a value that was read from a checkpoint has the form of a layout."""
    if isinstance(value, list):
        return all(map(is_layout, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_layout(part) for name, part in value.items())
    return isinstance(value, str)


def _objects(to_save: object) -> dict[str, Any]:
    """Return the objects by their names, dots between those of nested ones; wrappers taken off."""
    if not isinstance(to_save, Mapping) or not to_save:
        raise InvalidArgumentError(
            f"to_save is {to_save!r:.60}; expected the dict of objects by name that Ignite's "
            'Checkpoint gets, for example {"model": model, "optimizer": optimizer, "trainer": '
            "trainer}."
        )
    objects: dict[str, Any] = {}
    for name, part in _leaves(to_save):
        if not has_state(part):
            raise InvalidArgumentError(
                f"{name} is a {type(part).__name__}, which has no state_dict() and "
                "load_state_dict(), as Ignite's Checkpoint wants it. Leave it out."
            )
        if name in objects:
            raise InvalidArgumentError(f"Two objects are called {name}; rename one of them.")
        objects[name] = unwrapped(part) if isinstance(part, nn.Module) else part
    return objects


def _leaves(nesting: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(nesting, Mapping):
        for key, part in nesting.items():
            yield from _leaves(part, _joined(name, key))
    elif _is_sequence(nesting):
        for index, part in enumerate(nesting):
            yield from _leaves(part, _joined(name, str(index)))
    else:
        yield name, nesting


def _joined(name: str, key: object) -> str:
    if not isinstance(key, str) or not key:
        raise InvalidArgumentError(f"to_save has the key {key!r}; expected names, as text.")
    return f"{name}.{key}" if name else key


def _is_sequence(part: object) -> bool:
    """Return whether it nests objects; a ``Sequential`` is an object, and so is text."""
    return isinstance(part, Sequence) and not isinstance(part, str)


def _layout(nesting: Any, places: Mapping[int, str]) -> Layout:
    if isinstance(nesting, Mapping):
        return {name: _layout(part, places) for name, part in nesting.items()}
    if _is_sequence(nesting):
        return [_layout(part, places) for part in nesting]
    return places[id(unwrapped(nesting) if isinstance(nesting, nn.Module) else nesting)]


def _main_module(objects: Mapping[str, Any], wanted: str | None) -> nn.Module:
    modules = {name: part for name, part in objects.items() if isinstance(part, nn.Module)}
    if wanted is not None:
        if wanted not in modules:
            raise InvalidArgumentError(
                f"model={wanted!r} names no module of to_save: {', '.join(modules) or 'none'}."
            )
        return modules[wanted]
    if len({id(module) for module in modules.values()}) == 1 or MODEL in modules:
        return modules[MODEL] if MODEL in modules else next(iter(modules.values()))
    if not modules:
        raise InvalidArgumentError(
            f"to_save holds no torch.nn.Module ({', '.join(objects)}), and a checkpoint is one of "
            "a model: add it, as in {'model': model, …}."
        )
    raise InvalidArgumentError(
        f"to_save holds several modules ({', '.join(modules)}): say by its name which of them the "
        "checkpoint is to rebuild, as in model='generator'. The others are kept as state."
    )
