"""Where steps are rehearsed: the live objects, what is around them, and the way back for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

from tracker.architecture.wrappers import unwrapped
from tracker.format import open_checkpoint
from tracker.loading.resume import resume_training
from tracker.rehearsal.loaders import Watched
from tracker.rehearsal.passes import Components, Scene, Step
from tracker.rehearsal.search import reachable
from tracker.rehearsal.stored import store
from tracker.rehearsal.things import (
    PutBack,
    Thing,
    as_thing,
    gradients_thing,
    keep_tensors,
    random_things,
)
from tracker.rehearsal.watching import Loaders, instances_of
from tracker.training import random_state
from tracker.training.stateful import as_stateful


class Stage:
    """The objects of one rehearsal.

    Attributes:
        before: The components of a checkpoint before the first step.
        things: What else the step may depend on.
        fingerprints: Of each thing, by name, before the first step.
        loaders: The DataLoaders of this process.
        notes: What could not be put back as it was.
    """

    def __init__(
        self,
        step: Callable[[], Any],
        model: nn.Module,
        parts: Mapping[str, Any],
        folder: Path,
    ) -> None:
        self._numbers = random_state.capture()
        self._step, self._model, self._parts = step, model, dict(parts)
        self._resumable = {**parts, "state": _with_state(parts["state"])}
        self._scene = Scene(model, **self._parts)
        self.loaders = Loaders([p for p in self._scene.parts.values() if isinstance(p, DataLoader)])
        self.notes: list[str] = []
        self.things: list[Thing] = []
        self.fingerprints: dict[int, str] = {}
        self._undo: dict[int, PutBack | None] = {}
        self._folder = folder
        try:
            store(folder, unwrapped(model), **self._parts)
        except BaseException:
            self.loaders.leave()
            random_state.restore(self._numbers)
            raise
        self._given = {id(part) for part in (model, unwrapped(model), *self._scene.parts.values())}
        self._look_around()
        self._given_undo = self._ways_back()
        self.before = self._scene.components()
        self.loaders.begin()

    def _look_around(self) -> None:
        inner = unwrapped(self._model)
        for thing in (*random_things(), gradients_thing(inner), *self.look_again()):
            self._look_at(thing)
        for thing in _elsewhere(inner, self._given | {id(each.subject) for each in self.things}):
            self._look_at(thing)

    def first_pass(self, count: int) -> list[Step]:
        """Run steps as they would go on now; take note of optimizers that they use."""
        handle = register_optimizer_step_pre_hook(self._note_optimizer)
        try:
            done = self._scene.run(self._step, count)
        finally:
            handle.remove()
        self.loaders.end_first_pass()
        self.loaders.look_again()
        return done

    def replay(self, count: int) -> list[Step]:
        """Resume, and run the steps once more."""
        self.resume()
        self.loaders.begin_pass(again=False)
        return self._scene.run(self._step, count)

    def replay_with_all(self, count: int, left_out: object = None) -> list[Step]:
        """Resume, put back by hand what no checkpoint has, and run the steps once more.

        Args:
            count: How many steps.
            left_out: A thing that is not put back; or what watches an iterator: then no batches
                are given again.
        """
        self.resume()
        for thing in self.things:
            undo = self._undo[id(thing)]
            if thing is not left_out and undo is not None and self.has_moved(thing):
                undo()
        self.loaders.begin_pass(again=not isinstance(left_out, Watched))
        return self._scene.run(self._step, count)

    def has_moved(self, thing: Thing) -> bool:
        """Return whether a thing is not what it was before the first step."""
        return thing.read() != self.fingerprints[id(thing)]

    def resume(self) -> Components:
        """Resume from the checkpoint; return what is there then."""
        # Opened each time: tensors are taken over as they are mapped, and trained on.
        resume_training(open_checkpoint(self._folder), model=self._model, **self._resumable)
        self.loaders.resumed()
        return self._scene.components()

    def look_again(self) -> list[Thing]:
        """Return what the step can reach now."""
        return reachable(self._step, unwrapped(self._model), self._scene.parts)

    def names(self) -> dict[int, str]:
        """Return what the iterators of DataLoaders that the step can reach are called now."""
        return {id(t.subject): t.name for t in self.look_again() if t.kind == "loader"}

    def can_put_back(self, thing: Thing) -> bool:
        """Return whether a thing can be put back to where it was before the first step."""
        return self._undo[id(thing)] is not None

    def leave(self) -> None:
        """Put everything back to where it was before the first step; note what can't be."""
        self._try("the checkpoint", self.resume)
        for name, put_back in self._given_undo:
            self._try(name, put_back)
        for thing in self.things:
            if thing.kind != "random" and self.has_moved(thing):
                self._try(f"{thing.name} ({thing.label})", self._undo[id(thing)])
                if self.has_moved(thing):
                    self.notes.append(f"{thing.name} ({thing.label}) could not be put back")
        self.loaders.leave()
        random_state.restore(self._numbers)

    def _try(self, name: str, put_back: PutBack | None) -> None:
        try:
            if put_back is not None:
                put_back()
        except Exception as error:  # noqa: BLE001 - all else is to be put back all the same
            self.notes.append(f"{name} could not be put back: {type(error).__name__}: {error}")

    def _ways_back(self) -> list[tuple[str, PutBack]]:
        inner = unwrapped(self._model)
        tensors = dict((*inner.named_parameters(), *inner.named_buffers()))
        ways = [("model", keep_tensors(tensors))]
        for name, part in self._scene.parts.items():
            thing = as_thing(part, name, frozenset())
            undo = thing.keep() if thing is not None else None
            if undo is not None:
                ways.append((name, undo))
        return ways

    def _note_optimizer(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if id(optimizer) in self._given or any(t.subject is optimizer for t in self.things):
            return
        thing = as_thing(optimizer, f"an optimizer ({type(optimizer).__name__})", frozenset())
        if thing is not None:
            self._look_at(thing)

    def _look_at(self, thing: Thing) -> None:
        """Take a thing into those that are compared, as it is now."""
        try:
            found, undo = thing.read(), thing.keep()
        except Exception as error:  # noqa: BLE001 - state_dict() of anything may raise anything
            self.notes.append(
                f"{thing.name} could not be looked at: {type(error).__name__}: {error}"
            )
            return
        self.things.append(thing)
        self.fingerprints[id(thing)], self._undo[id(thing)] = found, undo


def _with_state(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the members of ``state=`` that are no plain values."""
    if not isinstance(state, Mapping):
        return state
    return {name: part for name, part in state.items() if as_stateful(part) is not None}


def _elsewhere(model: nn.Module, known: set[int]) -> list[Thing]:
    """Return optimizers of the model and their schedules that the step was not seen to reach."""
    own = set(map(id, model.parameters()))
    found: list[Thing] = []
    for value in instances_of(torch.optim.Optimizer, LRScheduler):
        name = f"a {type(value).__name__} of the model's parameters"
        thing = as_thing(value, name, frozenset()) if _concerns(value, own) else None
        if thing is not None and id(value) not in known:
            found.append(thing)
    return found


def _concerns(value: Any, own: set[int]) -> bool:
    optimizer = value if isinstance(value, torch.optim.Optimizer) else value.optimizer
    return any(id(p) in own for group in optimizer.param_groups for p in group["params"])
