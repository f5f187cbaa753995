"""Where and with what a checkpoint was made: versions, host, git commit."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tracker.architecture.references import file_of
from tracker.architecture.source import is_first_party_module
from tracker.types import Json


def environment(modules: Iterable[str]) -> dict[str, Json]:
    """Return what is known about the machine, for the manifest.

    Args:
        modules: Names of the Python modules that the model's classes come from; the versions of
            the packages that they belong to are recorded.
    """
    packages = {name.split(".")[0] for name in modules if not is_first_party_module(name)}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "host": platform.node(),
        "packages": _versions(frozenset(packages)),
        "git": _git(str(_code_directory())),
    }


@functools.lru_cache(maxsize=32)
def _versions(packages: frozenset[str]) -> dict[str, Json]:
    names = {"checkpoint-tracker", "mlflow", "torch"}
    # Asking which distribution a package is of reads all that are installed: half a second.
    for package in packages - {"__main__", "mlflow", "torch", "tracker"} - sys.stdlib_module_names:
        names.update(_distributions().get(package, ())[:1])
    return {name: _version(name) for name in sorted(names)}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout or an archive that was never installed


def _code_directory() -> Path:
    main = sys.modules.get("__main__")
    file = None if main is None else file_of(main)
    folder = Path(file).parent if file else Path.cwd()
    return folder if folder.is_dir() else Path.cwd()


@functools.lru_cache(maxsize=8)
def _git(folder: str) -> Json:
    """Return the commit that the training code is at, once a process; None outside a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
