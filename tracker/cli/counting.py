"""Shows on a terminal how far something is whose end is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many of something there are so far; yield what adds some."""
    from rich.console import Console
    from rich.status import Status

    console, total = Console(stderr=True), 0
    if not console.is_terminal:
        yield lambda count: None
        return
    with Status(what, console=console) as status:

        def seen(count: int) -> None:
            nonlocal total
            total += count
            status.update(f"{total} {what}")

        yield seen
