"""Watches what iterators of DataLoaders give, gives it again, and leaves them where they were.

A loop holds such an iterator, so nobody can put another in its place. But the iterator can be given
a class that looks into a queue first.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from tracker.rehearsal.fingerprint import fingerprint
from tracker.training import random_state

_KEY = "_tracker_rehearsal"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was drawn.

    Attributes:
        content: The batch.
        numbers: The state of the global random generators after it, if drawing it drew from them.
    """

    content: Any
    numbers: random_state.State | None

    def again(self) -> Any:
        """Return the batch as if it was drawn now."""
        if self.numbers is not None:
            random_state.restore(self.numbers)
        return _copied(self.content)


class Watched:
    """An iterator that is watched.

    Attributes:
        iterator: The iterator.
        loader: The DataLoader that made it, if it has a state and this is its only iterator.
        drawn: How many batches were drawn in this pass.
        fresh: Batches that it gave so far, in all passes, and that nobody has drawn outside.
    """

    def __init__(self, iterator: Any, loader: DataLoader[Any] | None) -> None:
        self.iterator = iterator
        self.loader = loader
        self.drawn = 0
        self.fresh: list[Batch] = []
        self._queue: deque[Batch] = deque()
        self._first: list[Batch] = []
        self._successor: Any = None
        self._forwards = False
        self._earlier: Watched | None = vars(iterator).get(_KEY)
        self._kind = type(iterator)
        if self._earlier is None:
            iterator.__class__ = type(self._kind.__name__, (_Watching, self._kind), {})
        vars(iterator)[_KEY] = self

    def begin_pass(self, *, again: bool) -> None:
        """Begin a pass.

        Args:
            again: Give the batches of the first pass again.
        """
        self.drawn = 0
        self._queue = deque(self._first if again else ())

    def end_first_pass(self) -> None:
        """Remember the batches of this pass as those to be given again."""
        self._first = list(self.fresh)

    def forward(self) -> None:
        """From now on give what the loader gives, which goes on from a state that it was given."""
        self._forwards, self._successor = True, None

    def next(self) -> Any:
        """Return the next batch."""
        if self._forwards and self.loader is not None:
            if self._successor is None:
                self._successor = iter(self.loader)
            content = next(self._successor)
        elif self._queue:
            content = self._queue.popleft().again()
        else:
            content = self._draw()
        self.drawn += 1
        return content

    def _draw(self) -> Any:
        before = random_state.capture()
        content = self._earlier.next() if self._earlier else self._kind.__next__(self.iterator)
        after = random_state.capture()
        drew = fingerprint(before) != fingerprint(after)
        self.fresh.append(Batch(_copied(content), after if drew else None))
        return content

    def leave(self) -> None:
        """End watching; what was drawn meanwhile is given once more."""
        if self.is_used and self.loader is not None:
            self.forward()  # the loader was put where it was
            return
        self._queue = deque(self.fresh)
        self.fresh = []
        if self._queue:
            self.next = self._next_of_queue  # type: ignore[method-assign]
        else:
            self._end()

    @property
    def is_used(self) -> bool:
        """Whether any step has drawn from it."""
        return bool(self.fresh) or self._successor is not None

    def _next_of_queue(self) -> Any:
        batch = self._queue.popleft()
        if not self._queue:
            self._end()
        return batch.again()

    def _end(self) -> None:
        if self._earlier is not None:
            vars(self.iterator)[_KEY] = self._earlier
        else:
            self.iterator.__class__ = self._kind
            vars(self.iterator).pop(_KEY, None)


class _Watching:
    """Comes before the iterator's own class."""

    def __next__(self) -> Any:
        watched: Watched = vars(self)[_KEY]
        return watched.next()


def is_loader_iterator(value: Any) -> bool:
    """Return whether an object is the iterator of a DataLoader."""
    # By type: isinstance asks a proxy for its class, which may do anything.
    return issubclass(type(value), _BaseDataLoaderIter)


def earlier_loader(iterator: Any) -> Any:
    """Return the DataLoader from which an iterator gives its batches since an earlier rehearsal."""
    watched: Watched | None = vars(iterator).get(_KEY)
    return None if watched is None else watched.loader


def _copied(batch: Any) -> Any:
    """Return a copy: the step may change the batch."""
    try:
        return copy.deepcopy(batch)
    except Exception:  # noqa: BLE001 - whatever a collate function makes; then it is given as it is
        return batch
