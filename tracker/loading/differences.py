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
        archived.module: _diff(archived, file, content)
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


def _diff(archived: SourceFile, file: str, content: bytes) -> str:
    before = f"{archived.path or archived.module} (when logged)"
    return unified(archived.content, content, before, f"{file} (now)")


def unified(before: bytes, after: bytes, before_name: str, after_name: str) -> str:
    """Return a unified diff of two source files, under the names that it is to show.

    Example:
        >>> print(unified(b"a = 1\\n", b"a = 2\\n", "then", "now"))
        --- then
        +++ now
        @@ -1 +1 @@
        -a = 1
        +a = 2
    """
    lines = difflib.unified_diff(
        _text(before).splitlines(keepends=True),
        _text(after).splitlines(keepends=True),
        fromfile=before_name,
        tofile=after_name,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _text(content: bytes) -> str:
    try:
        return decode_source(content)
    except (SyntaxError, UnicodeDecodeError):
        return content.decode(errors="replace")
