"""Compares the versions that a checkpoint was made with to those that are installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from tracker.types import Json

_NOT_OF_MODELS = frozenset({"checkpoint-tracker", "mlflow"})
"""Recorded with every checkpoint, but no model computes with them."""


@dataclass(frozen=True, slots=True)
class VersionChange:
    """A package whose major or minor version is another than when the checkpoint was logged.

    Attributes:
        package: Its name; ``python`` for Python.
        then: Its version when the checkpoint was logged.
        now: Its version here; None if it is not installed.
    """

    package: str
    then: str
    now: str | None

    def __str__(self) -> str:
        now = "not installed" if self.now is None else self.now
        return f"{self.package} {self.then} then, {now} now"


def version_changes(environment: Mapping[str, Json]) -> tuple[VersionChange, ...]:
    """Return the packages of the model's classes, torch and Python, whose versions differ.

    Args:
        environment: What the manifest says about where the checkpoint was made.

    Example:
        >>> [str(change) for change in version_changes({"python": "3.8.1"})]
        ['python 3.8.1 then, 3.12.4 now']
    """
    packages = environment.get("packages")
    then = {"python": environment.get("python")}
    then |= packages if isinstance(packages, dict) else {}
    changes = (
        VersionChange(name, version, _installed(name))
        for name, version in sorted(then.items())
        if isinstance(version, str) and name not in _NOT_OF_MODELS
    )
    return tuple(change for change in changes if _minor(change.then) != _minor(change.now))


def _installed(package: str) -> str | None:
    if package == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _minor(version: str | None) -> list[str] | None:
    return None if version is None else version.split(".")[:2]
