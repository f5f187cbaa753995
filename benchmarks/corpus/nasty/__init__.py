"""Models that do what real models do now and then, written to be hard to rebuild."""

from __future__ import annotations

from collections.abc import Iterator

from corpus.case import Case
from corpus.nasty import arguments, classes, constructors, contents, tensors, wrapped


def cases() -> Iterator[Case]:
    for module in (constructors, arguments, classes, contents, tensors, wrapped):
        yield from module.cases()
