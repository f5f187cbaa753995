"""Archives the first-party source that a model's classes come from.

First-party is what lies outside the standard library and outside site-packages: the team's own
files. They are kept with every checkpoint (kilobytes), so that a colleague who never had them can
read, compare, and with ``trust="source"`` run them.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from tracker.architecture.isolated import SourceFile, source_of
from tracker.architecture.references import file_of, loaded_module, main_module_name
from tracker.architecture.scripts import MAX_SOURCE_FILE

MAX_SOURCE_FILES = 200


@lru_cache(maxsize=8)
def _installed_roots(search_path: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the folders that packages are installed in: site-packages, and ``pip --target``."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    known = {Path(sysconfig.get_path(name)).resolve() for name in names}
    folders = (Path(entry).resolve() for entry in search_path if entry)
    return (*known, *(f for f in folders if next(f.glob("*.dist-info"), None) is not None))


def is_first_party(file: str | Path) -> bool:
    """Return whether a file is the user's own, not installed and not of the standard library."""
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(root) for root in _installed_roots(tuple(sys.path)))


def is_first_party_module(name: str) -> bool:
    """Return whether an imported module is the user's own: a file, script or notebook of theirs."""
    module = loaded_module(name)
    if module is None:
        return False
    if source_of(module) is not None:
        return True
    file = file_of(module)
    return name == main_module_name() if file is None else is_first_party(file)


def archive(modules: Iterable[str]) -> list[SourceFile]:
    """Return the first-party source of ``modules`` and of the first-party modules they import."""
    found: dict[str, SourceFile] = {}
    pending = sorted({name for module in modules for name in _with_parents(module)})
    seen: set[str] = set()
    while pending and len(found) < MAX_SOURCE_FILES:
        name = pending.pop(0)
        if name in seen or _is_tracker(name):
            continue
        seen.add(name)
        module = loaded_module(name)
        file = _source_file(name, module) if module is not None else None
        if file is not None:
            found[name] = file
            pending.extend(_imported_names(file))
    return [found[name] for name in sorted(found)]


def _is_tracker(name: str) -> bool:
    """Return whether a module is of this package, which whoever loads a checkpoint has."""
    return name.split(".")[0] == __name__.split(".")[0]


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _source_file(name: str, module: ModuleType) -> SourceFile | None:
    archived = source_of(module)
    if archived is not None:
        return archived
    script = name == main_module_name()
    file = file_of(module)
    if file is None:
        content = _notebook_source(module) if script else None
        return SourceFile(name, content, "", True, False) if content else None
    path = Path(file)
    if path.suffix != ".py" or not is_first_party(path):
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) > MAX_SOURCE_FILE:
        return None
    package = path.name == "__init__.py" and not script
    return SourceFile(name, content, str(path.resolve()), script, package)


def _notebook_source(module: ModuleType) -> bytes | None:
    """Return the cells executed so far, as IPython translated them to Python."""
    cells = vars(module).get("_ih")
    if not isinstance(cells, list):
        return None
    return "\n\n".join(cell for cell in cells if _is_python(cell)).encode()


def _is_python(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _imported_names(file: SourceFile) -> list[str]:
    """Return the modules that a source file imports and that are loaded, parents included."""
    try:
        tree = ast.parse(file.content)
    except (SyntaxError, ValueError):
        return []
    package = file.module if file.package else file.module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    wanted = {parent for name in names if name for parent in _with_parents(name)}
    return sorted(name for name in wanted if name in sys.modules)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base
