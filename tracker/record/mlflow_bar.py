"""Keeps MLflow from drawing a progress bar of its own for each file that it downloads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
_changing = threading.Lock()
_within = 0
_ours = False


@contextmanager
def hidden() -> Iterator[None]:
    """Hide the bar, in every thread, unless the user has said what is to be done about it.

    Example:
        >>> with hidden():
        ...     mlflow.artifacts.download_artifacts(artifact_uri=uri)
    """
    global _within, _ours
    with _changing:
        if _within == 0 and _VARIABLE not in os.environ:
            os.environ[_VARIABLE] = "false"
            _ours = True
        _within += 1
    try:
        yield
    finally:
        with _changing:
            _within -= 1
            if _within == 0 and _ours:
                os.environ.pop(_VARIABLE, None)
                _ours = False
