"""Which Lightning is installed, and which of the two the running program uses."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version

ADVICE = (
    "tracker.integrations.lightning needs Lightning: pip install 'checkpoint-tracker[lightning]'"
)


def is_standalone_wanted() -> bool:
    """Return whether ``pytorch_lightning`` is the one to use, not ``lightning``.

    It is where the program has imported it and not the other, or where there is no other.
    """
    if "lightning.pytorch" in sys.modules:
        return False
    if "pytorch_lightning" in sys.modules:
        return True
    return importlib.util.find_spec("lightning") is None


def installed_version() -> str:
    """Return the version of the Lightning that is installed."""
    for name in ("lightning", "pytorch-lightning"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise ModuleNotFoundError(ADVICE, name="lightning")
