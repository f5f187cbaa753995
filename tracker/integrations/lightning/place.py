"""Where Lightning's checkpoints are: the URIs that stand where ModelCheckpoint has paths of files.

``runs:/RUN_ID/epoch-3-step-120`` is what tracker and MLflow load. Programs that go by fsspec, as
Lightning does to see whether a checkpoint is there, say ``tracker://RUN_ID/epoch-3-step-120``.
"""

from __future__ import annotations

import os
import re
from typing import Any

RUNS = "runs:/"
SCHEME = "tracker"
_WITH_SCHEME = re.compile(r"tracker:/{1,2}(?=[^/])")
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)")


def uri_of(path: Any) -> str | None:
    """Return the URI that a path of Lightning's names a checkpoint of tracker by, else None.

    Example:
        >>> uri_of("tracker://0a1b2c/epoch-3-step-120")
        'runs:/0a1b2c/epoch-3-step-120'
        >>> uri_of("checkpoints/last.ckpt")
    """
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fspath(path)
    if not isinstance(text, str):
        return None
    text = _WITH_SCHEME.sub(RUNS, text, count=1) if text.startswith(f"{SCHEME}:") else text
    return text if text.startswith((RUNS, "models:/")) else None


def place(run: str, epoch: int, step: int) -> str:
    """Return the URI of the checkpoint of an epoch and step."""
    return f"{RUNS}{run}/epoch-{epoch}-step-{step}"


def epoch_and_step(uri: str) -> tuple[int, int] | None:
    """Return the epoch and step of a URI that `place` made, else None."""
    found = _NAME.fullmatch(uri.rpartition("/")[2])
    return (int(found[1]), int(found[2])) if found else None


def with_scheme(uri: str) -> str:
    """Return a URI as fsspec wants it.

    Example:
        >>> with_scheme("runs:/0a1b2c/epoch-3-step-120")
        'tracker://0a1b2c/epoch-3-step-120'
    """
    return f"{SCHEME}://{uri.removeprefix(RUNS)}"
