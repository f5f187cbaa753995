"""Containers that are met in several places: written once, so that they stay one container.

A list that two modules hold is an object of the table, ``{"value": …}``. It is made empty before
its items are read, so that it may also contain itself.
"""

from __future__ import annotations

import argparse
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from tracker.types import Json

MUTABLE = frozenset(
    {
        list,
        dict,
        set,
        deque,
        OrderedDict,
        defaultdict,
        Counter,
        types.SimpleNamespace,
        argparse.Namespace,
    }
)

_EMPTY: dict[str, Callable[[], Any]] = {
    "$dict": dict,
    "$set": set,
    "$ordered": OrderedDict,
    "$counter": Counter,
    "$simplenamespace": types.SimpleNamespace,
    "$namespace": argparse.Namespace,
    "$deque": deque,
    "$defaultdict": defaultdict,
}


class Sharing:
    """Which containers of a model are met more than once.

    That is known only when everything was met, so a description in which something turned up is
    made again, with what is known then.

    Attributes:
        known: Ids of the containers that are shared, from the passes before.
        found: Ids of those that this pass met a second time.
    """

    def __init__(self, known: frozenset[int] = frozenset()) -> None:
        self.known = known
        self.found: set[int] = set()
        self._met: dict[int, object] = {}

    def meet(self, container: object) -> bool:
        """Note that a container was met; return whether it is known to be shared."""
        key = id(container)
        if key in self.known:
            return True
        if key in self._met:
            self.found.add(key)
        self._met[key] = container  # alive, so that no other gets its id
        return False

    def next_pass(self) -> Sharing | None:
        """Return what the next pass goes by, or None if this one found nothing new."""
        return Sharing(self.known | self.found) if self.found else None


def empty_container(value: Json) -> Any:
    """Return the empty container that ``value`` will fill, or None if it is no container."""
    if isinstance(value, list):
        return []
    if isinstance(value, dict):
        tag = next(iter(value), "")
        return _EMPTY[tag]() if tag in _EMPTY else None if tag.startswith("$") else {}
    return None


def fill_container(container: Any, content: Any) -> Any:
    """Put into an empty container what was read for it; return the container."""
    if isinstance(container, defaultdict):
        container.default_factory = content.default_factory
    if isinstance(container, deque):
        if content.maxlen is not None:
            return content  # its length is given when it is made, so it can't contain itself
        container.extend(content)
    elif isinstance(container, list):
        container.extend(content)
    elif isinstance(container, (dict, set)):
        container.update(content)
    else:
        vars(container).update(vars(content))
    return container
