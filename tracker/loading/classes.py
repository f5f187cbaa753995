"""Where one loading call finds a checkpoint's classes, and what it may refer to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tracker.architecture.imports import Imports
from tracker.architecture.isolated import SourceFile
from tracker.architecture.trust import parse_trust
from tracker.errors import InvalidArgumentError
from tracker.format import StoredCheckpoint


def imports_for(
    stored: StoredCheckpoint,
    *,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    local: bool = False,
) -> Imports:
    """Return where the classes of a checkpoint are looked for.

    Args:
        stored: The opened files.
        trust: What it may refer to beyond the fixed lists; ``"source"`` runs the archived source.
        classes: Classes by qualname or ``module:qualname``, instead of those found by import.
        local: Whether the files come from a store on this machine.

    Raises:
        InvalidArgumentError: ``trust`` or ``classes`` is not usable.
        CorruptCheckpointError: The archived source is not what was written.
    """
    return Imports(
        trust=parse_trust(trust),
        classes=check_classes(classes),
        source=_source(stored),
        local=local,
        wanted=_wanted(stored),
    )


def check_classes(classes: Any) -> Mapping[str, Any]:
    """Return the classes that the caller gives by name.

    Raises:
        InvalidArgumentError: They are not classes by name.
    """
    if classes is None:
        return {}
    if not isinstance(classes, Mapping) or not all(
        isinstance(name, str) and isinstance(cls, type) for name, cls in classes.items()
    ):
        raise InvalidArgumentError(
            'classes must be a dict of classes by name, for example classes={"Net": Net}.'
        )
    return classes


def _source(stored: StoredCheckpoint) -> dict[str, SourceFile]:
    return {
        entry.module: SourceFile(
            entry.module, stored.read_file(entry.file), entry.path, entry.script, entry.package
        )
        for entry in stored.manifest.source
    }


def _wanted(stored: StoredCheckpoint) -> dict[str, frozenset[str]]:
    """Return, for each module of the source, the top-level names that the description needs."""
    modules = {entry.module for entry in stored.manifest.source}
    wanted: dict[str, set[str]] = {module: set() for module in modules}
    architecture = stored.manifest.architecture
    pending: list[Any] = [architecture.structure, architecture.constructor]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            module, separator, qualname = node.partition(":")
            if separator and module in wanted:
                wanted[module].add(qualname.split(".")[0])
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return {module: frozenset(names) for module, names in wanted.items()}
