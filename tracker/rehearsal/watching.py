"""All DataLoaders of this process, while steps are rehearsed."""

from __future__ import annotations

import copy
import gc
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from tracker.loading.together import load_loader, loader_way_back
from tracker.rehearsal.loaders import Watched, earlier_loader
from tracker.training.stateful import has_state


class Loaders:
    """Watches the iterators of DataLoaders, and puts them back.

    Args:
        given: The DataLoaders with a state that were given. They must not have been asked for it
            yet: one that was not begun would begin.
    """

    def __init__(self, given: Sequence[DataLoader[Any]]) -> None:
        self._given = given
        self._ways_back = [(each, loader_way_back(each)) for each in given]
        self._begun: list[tuple[Any, Any, Any]] = []
        self._watched: dict[int, Watched] = {}

    def begin(self) -> None:
        """Watch every iterator there is."""
        for loader in instances_of(DataLoader):
            if has_state(loader) and getattr(loader, "_iterator", None) is not None:
                generator = getattr(loader, "generator", None)
                numbers = generator.get_state() if isinstance(generator, torch.Generator) else None
                self._begun.append((loader, copy.deepcopy(loader.state_dict()), numbers))
        self.look_again()

    def look_again(self) -> None:
        """Watch iterators that were made since."""
        known = {id(loader): loader for loader, _, _ in self._begun}
        makers = {id(loader._iterator): loader for loader in known.values()}
        for iterator in instances_of(_BaseDataLoaderIter):
            if id(iterator) not in self._watched:
                earlier = known.get(id(earlier_loader(iterator)))
                maker = makers.get(id(iterator), earlier)
                self._watched[id(iterator)] = Watched(iterator, maker)

    def begin_pass(self, *, again: bool) -> None:
        """Begin a pass; see `Watched.begin_pass`."""
        for each in self._watched.values():
            each.begin_pass(again=again)

    def end_first_pass(self) -> None:
        """See `Watched.end_first_pass`."""
        for each in self._watched.values():
            each.end_first_pass()

    def resumed(self) -> None:
        """Let the iterators of given loaders give what those go on with."""
        for each in self._watched.values():
            if self.is_given(each):
                each.forward()

    def is_given(self, watched: Watched) -> bool:
        """Return whether the position of an iterator is in a state that was given."""
        return watched.loader is not None and any(watched.loader is each for each in self._given)

    def drawn(self) -> list[Watched]:
        """Return the iterators from which this pass has drawn."""
        return [each for each in self._watched.values() if each.drawn]

    def leave(self) -> None:
        """Put all loaders and iterators where they were."""
        used = {id(each.loader) for each in self._watched.values() if each.is_used}
        for loader, way_back in self._ways_back:
            if id(loader) not in used:
                way_back()
        for loader, state, numbers in self._begun:
            if id(loader) in used:
                load_loader(loader, state, generator=numbers)
        for each in self._watched.values():
            each.leave()


def instances_of(*kinds: type) -> list[Any]:
    """Return all objects of some classes that there are in this process."""
    # By type: isinstance asks a proxy for its class, which may do anything.
    wanted = {each for kind in kinds for each in (kind, *_subclasses(kind))}
    return [each for each in gc.get_objects() if type(each) in wanted]


def _subclasses(kind: type) -> Collection[type]:
    below: list[type] = type.__subclasses__(kind)
    return {*below, *(each for cls in below for each in _subclasses(cls))}
