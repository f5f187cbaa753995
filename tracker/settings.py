"""Environment variables that tracker reads: one accessor each, read at every call.

Tests override them with ``monkeypatch.setenv``; nothing is cached here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tracker.errors import InvalidArgumentError

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


def cache_size() -> int | None:
    """Return ``TRACKER_CACHE_SIZE`` in bytes, or None if it is not set: ``20GB``, ``1.5TiB``.

    Raises:
        InvalidArgumentError: It is no size.
    """
    given = os.environ.get("TRACKER_CACHE_SIZE", "").strip()
    if not given:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *(?:([kmgt])(i?))?b?", given, re.IGNORECASE)
    if match is None:
        raise InvalidArgumentError(
            f"TRACKER_CACHE_SIZE={given!r} is no size; expected bytes, or a number with a unit: "
            "500MB, 20GB, 1.5TiB."
        )
    number, unit, binary = match.groups(default="")
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " "))


def spool_directory() -> Path:
    """Return ``TRACKER_SPOOL_DIR``: where checkpoints wait until MLflow can have them.

    Not in the cache, which people delete: nothing else may hold these.
    """
    given = os.environ.get("TRACKER_SPOOL_DIR")
    if given:
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser().absolute() / "tracker" / "spool"


def offline() -> bool:
    """Return True if ``TRACKER_OFFLINE=1`` keeps every checkpoint in the spool until it is sent."""
    return os.environ.get("TRACKER_OFFLINE", "0") not in ("", "0")


def distributed_timeout() -> float:
    """Return ``TRACKER_DISTRIBUTED_TIMEOUT``: seconds to wait for other processes; default 600.

    Raises:
        InvalidArgumentError: It is no number of seconds.
    """
    given = os.environ.get("TRACKER_DISTRIBUTED_TIMEOUT", "").strip() or "600"
    if not re.fullmatch(r"\d+(\.\d+)?", given) or float(given) <= 0:
        raise InvalidArgumentError(
            f"TRACKER_DISTRIBUTED_TIMEOUT={given!r}: expected seconds, more than 0."
        )
    return float(given)


def observe() -> bool:
    """Return False if ``TRACKER_OBSERVE=0`` switches off observing constructors."""
    return os.environ.get("TRACKER_OBSERVE", "1") != "0"


def server_certificate() -> bool | str:
    """Return how certificates of servers are checked, as requests wants it: MLflow's own settings.

    ``MLFLOW_TRACKING_INSECURE_TLS=true``: not at all (False). ``MLFLOW_TRACKING_SERVER_CERT_PATH``:
    by this file or directory of certificates. Else by the usual authorities (True).
    """
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def trusted_packages() -> frozenset[str] | None:
    """Return ``TRACKER_TRUSTED_PACKAGES`` (comma separated), or None if it is not set.

    When set, only modules of these packages may be named by a checkpoint that is loaded.
    """
    given = os.environ.get("TRACKER_TRUSTED_PACKAGES")
    if given is None:
        return None
    return frozenset(name.strip() for name in given.split(",") if name.strip())


def absolute_uri(uri: str) -> str:
    """Return a tracking URI that means the same store in whatever directory it is read.

    Example:
        >>> absolute_uri("sqlite:///mlflow.db")
        'sqlite:////home/ada/digits/mlflow.db'
    """
    scheme, separator, path = uri.partition(":///")
    if separator and scheme.startswith("sqlite") and not path.startswith(("/", ":memory:")):
        return f"{scheme}:///{Path(path).absolute()}" if path else uri
    return uri


def database_is_there(tracking_uri: str) -> bool:
    """Return False for a SQLite file that nobody has made yet: to ask MLflow would make it."""
    scheme, separator, path = absolute_uri(tracking_uri).partition(":///")
    is_file = separator and scheme.startswith("sqlite") and path and not path.startswith(":memory:")
    return Path(path.partition("?")[0]).exists() if is_file else True


def without_password(uri: str) -> str:
    """Return a URI as it may be written to a file: with the user's name alone.

    Example:
        >>> without_password("postgresql://ada:secret@db/mlflow")
        'postgresql://ada@db/mlflow'
    """
    without_user_info = re.sub(r"(://[^:/@]*):.*@", r"\1@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1", without_user_info, flags=re.IGNORECASE)


def display_uri(uri: str) -> str:
    """Return a URI as it may be shown and logged: without its password.

    Example:
        >>> display_uri("postgresql://ada:secret@db/mlflow")
        'postgresql://ada:***@db/mlflow'
    """
    without_user_info = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", without_user_info, flags=re.IGNORECASE)
