"""What there is at the other end of the output: a terminal of some width, or a pipe; colours."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from typing import TextIO

import click

from tracker.errors import TrackerWarning

PIPE_WIDTH = 1_000_000
"""Columns of what is no terminal: nothing that another program reads is shortened."""


def width() -> int:
    """Return how many characters fit in a line of the output."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def colours() -> bool | None:
    """Return False if ``NO_COLOR`` forbids them, else None: a terminal has them, a pipe has not."""
    return False if os.environ.get("NO_COLOR") else None


def say_warnings() -> None:
    """Print tracker's warnings as it prints its errors: without the line of code they came from."""
    otherwise = warnings.showwarning

    def say(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, TrackerWarning):
            click.secho(f"Warning: {message}", fg="yellow", err=True, color=colours())
        else:
            otherwise(message, category, filename, lineno, file, line)

    warnings.showwarning = say
