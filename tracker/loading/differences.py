"""Shows how the code that is importable now differs from the source kept in a checkpoint."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from importlib.util import decode_source
from pathlib import Path

from tracker.architecture.imports import ARCHIVED, Imports, current_file
from tracker.architecture.isolated import SourceFile
from tracker.architecture.scripts import same_definitions


def source_differences(imports: Imports) -> dict[str, str]:
    """Return a unified diff, from the archived source to the current, for each module that changed.

    Of a module that the model's classes are in, only the definitions that these need count; of one
    that it imports, all. Comments and layout don't count, but where something else differs, they
    are in the diff.

    Args:
        imports: Where a loading call has found the classes, or failed to.
    """
    if ARCHIVED in imports.found.values():
        return {}  # what ran is the very source that was archived
    return {
        archived.module: "".join(_diff(archived, file, content))
        for archived, file, content in _current(imports)
        if not _is_same(archived, content, imports)
    }


def _current(imports: Imports) -> Iterator[tuple[SourceFile, str, bytes]]:
    for name, archived in sorted(imports.source.items()):
        file = imports.changed.get(name) or current_file(archived)
        if file is not None and Path(file).is_file():
            yield archived, str(file), Path(file).read_bytes()


def _is_same(archived: SourceFile, content: bytes, imports: Imports) -> bool:
    wanted = imports.wanted.get(archived.module)
    if wanted:
        return same_definitions(archived.content, content, wanted)
    try:
        return ast.dump(ast.parse(archived.content)) == ast.dump(ast.parse(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return archived.content == content


def _diff(archived: SourceFile, file: str, content: bytes) -> Iterator[str]:
    lines = difflib.unified_diff(
        _text(archived.content).splitlines(keepends=True),
        _text(content).splitlines(keepends=True),
        fromfile=f"{archived.path or archived.module} (when logged)",
        tofile=f"{file} (now)",
    )
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _text(content: bytes) -> str:
    try:
        return decode_source(content)
    except (SyntaxError, UnicodeDecodeError):
        return content.decode(errors="replace")
