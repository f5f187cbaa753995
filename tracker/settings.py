"""Environment variables that tracker reads: one accessor each, read at every call.

Tests override them with ``monkeypatch.setenv``; nothing is cached here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
"""MLflow 3's own default: a SQLite file in the working directory."""


def tracking_uri() -> str:
    """Return the tracking URI in force, without importing MLflow.

    ``mlflow.set_tracking_uri`` writes the variable, so it is the truth inside a process too.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def catalog_uri() -> str | None:
    """Return ``TRACKER_CATALOG_URI``: the catalog's database where it is not MLflow's own."""
    return os.environ.get("TRACKER_CATALOG_URI") or None


def cache_directory() -> Path:
    """Return ``TRACKER_CACHE_DIR``: where checkpoints of remote stores are kept once fetched."""
    given = os.environ.get("TRACKER_CACHE_DIR")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tracker"


def observe() -> bool:
    """Return False if ``TRACKER_OBSERVE=0`` switches off observing constructors."""
    return os.environ.get("TRACKER_OBSERVE", "1") != "0"


def trusted_packages() -> frozenset[str] | None:
    """Return ``TRACKER_TRUSTED_PACKAGES`` (comma separated), or None if it is not set.

    When set, only modules of these packages may be named by a checkpoint that is loaded.
    """
    given = os.environ.get("TRACKER_TRUSTED_PACKAGES")
    if given is None:
        return None
    return frozenset(name.strip() for name in given.split(",") if name.strip())


def display_uri(uri: str) -> str:
    """Return a URI as it may be shown and logged: without its password.

    Example:
        >>> display_uri("postgresql://ada:secret@db/mlflow")
        'postgresql://ada:***@db/mlflow'
    """
    without_user_info = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", without_user_info, flags=re.IGNORECASE)
