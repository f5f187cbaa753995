"""What the shell offers where an experiment, a run or a metric is to be typed.

A shell that completes must not be disturbed: whatever goes wrong, nothing is printed, and nothing
is offered. Names that would break the line are left out, too.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import click
from click.shell_completion import CompletionItem


def complete_experiments(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the experiments that have checkpoints."""
    return _offered(incomplete, lambda: _names().experiments())


def complete_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the newest runs, of the experiments that were given before."""
    return _offered(incomplete, lambda: _names().runs(_experiments(context)))


def complete_metrics(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the metrics of the checkpoints in the experiments that were given before."""
    return _offered(incomplete, lambda: _names().metrics(_experiments(context)))


def _names() -> ModuleType:
    from tracker.loading import names  # which knows the catalog, so not before it is needed

    return names


def _experiments(context: click.Context) -> Sequence[str]:
    given = context.params.get("experiment") or ()
    return (given,) if isinstance(given, str) else given


def _offered(incomplete: str, names: Callable[[], Sequence[str]]) -> list[CompletionItem]:
    with (
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            known = names()
        except Exception:  # noqa: BLE001 - the shell is no place for errors
            return []
    return [
        CompletionItem(name) for name in known if name.startswith(incomplete) and name.isprintable()
    ]
