"""Runs steps and notes everything that they get, give and change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from tracker.architecture.wrappers import plain_key, unwrapped
from tracker.rehearsal.fingerprint import fingerprint, shown
from tracker.rehearsal.report import Difference
from tracker.training.parameter_names import modules_among, parameter_names
from tracker.training.stateful import as_stateful

_MAX_NAMED = 3

Components = dict[str, dict[str, str]]
"""By component (``weights``, ``optimizer`` …) and name within: a fingerprint."""


@dataclass(slots=True)
class Step:
    """What one step got, gave, and left behind."""

    inputs: list[str] = field(default_factory=list)
    result: str = ""
    text: str = ""
    error: str = ""
    after: Components = field(default_factory=dict)


class Scene:
    """The objects that were given, and how they are looked at."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        scheduler: Any,
        state: Mapping[str, Any] | None,
    ) -> None:
        self.model = model
        self._modules = modules_among(unwrapped(model), state)
        named = {"optimizer": optimizer, "scheduler": scheduler}
        named |= {f"state.{name}": part for name, part in (state or {}).items()}
        self.parts = {name: part for name, part in named.items() if part is not None}

    def components(self) -> Components:
        """Return the fingerprints of everything that a checkpoint has."""
        inner = unwrapped(self.model)
        persistent = {plain_key(key) for key in inner.state_dict()}
        found: Components = {
            "weights": {plain_key(n): fingerprint(p) for n, p in inner.named_parameters()},
            "buffers": {
                plain_key(n): fingerprint(b)
                for n, b in inner.named_buffers()
                if plain_key(n) in persistent
            },
        }
        for name, part in self.parts.items():
            keeper = None if isinstance(part, DataLoader) else as_stateful(part)
            if keeper is not None:
                found[name] = self._entries(part, keeper.state_dict())
        return found

    def _entries(self, part: Any, state: Any) -> dict[str, str]:
        names = parameter_names(part, self._modules)
        if names is None or not isinstance(state, dict) or "param_groups" not in state:
            if isinstance(state, dict):
                return {str(key): fingerprint(value) for key, value in state.items()}
            return {"": fingerprint(state)}
        entries: dict[str, str] = {}
        for number, (group, own) in enumerate(zip(state["param_groups"], names, strict=True)):
            options = {key: value for key, value in group.items() if key != "params"}
            entries[f"the options of group {number}"] = fingerprint(options)
            for key, name in zip(group["params"], own, strict=True):
                entries[name or f"parameter {key}"] = fingerprint(state["state"].get(key))
        return entries

    def run(self, step: Callable[[], Any], count: int) -> list[Step]:
        """Run steps; one that raises is the last."""
        done: list[Step] = []
        for _ in range(count):
            seen = Step()
            with _inputs_of(self.model, seen.inputs):
                try:
                    result = step()
                    seen.result, seen.text = fingerprint(result), shown(result)
                except Exception as error:  # noqa: BLE001 - a replay that ran out of data, say
                    seen.error = f"{type(error).__name__}: {error}".rstrip(": ")
            seen.after = self.components()
            done.append(seen)
            if seen.error:
                break
        return done


@contextmanager
def _inputs_of(model: nn.Module, inputs: list[str]) -> Iterator[None]:
    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs.append(fingerprint((args, kwargs)))

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def compare(first: list[Step], second: list[Step]) -> list[Difference]:
    """Return what differs, each kind of difference at the step where it showed first."""
    found: dict[str, Difference] = {}
    for number, (a, b) in enumerate(zip(first, second, strict=False), 1):
        for what, detail in _differences(a, b):
            found.setdefault(what, Difference(number, what, detail))
    return list(found.values())


def _differences(a: Step, b: Step) -> Iterator[tuple[str, str]]:
    if a.inputs != b.inputs:
        yield "input", "what the model was called with"
    if a.error != b.error:
        yield "error", f"{a.error or 'none'} then {b.error or 'none'}"
    elif a.result != b.result:
        yield "result", f"{a.text} then {b.text}" if a.text != b.text else ""
    yield from component_differences(a.after, b.after)


def component_differences(a: Components, b: Components) -> Iterator[tuple[str, str]]:
    """Yield each component that differs, with the names of some parts of it."""
    for name in {**a, **b}:
        one, other = a.get(name, {}), b.get(name, {})
        parts = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        if parts:
            more = f" and {len(parts) - _MAX_NAMED} more" if len(parts) > _MAX_NAMED else ""
            yield name, ", ".join(parts[:_MAX_NAMED]) + more
