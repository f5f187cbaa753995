"""Runs source text as modules that the rest of the process does not see.

While they run, the modules are in ``sys.modules`` under their own names (dataclasses and relative
imports need that); afterwards they are taken out again, so that a later ``import`` of the same name
finds the user's own file. They stay known here, so that a model made of them can be logged again.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from blake3 import blake3

from tracker.architecture.scripts import definitions_of


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One module's source text.

    Attributes:
        module: Its name in references, for example ``train`` or ``pkg.layers``.
        content: The source as it was on disk.
        path: Where it was, or "" for a notebook.
        script: Whether it was run as ``__main__``.
        package: Whether it is a package's ``__init__.py``.
    """

    module: str
    content: bytes
    path: str
    script: bool
    package: bool

    @property
    def digest(self) -> str:
        """BLAKE3 of the content, hex."""
        return blake3(self.content).hexdigest()

    @property
    def file(self) -> str:
        """Where the file is in the checkpoint's ``source/`` folder."""
        stem = self.module.replace(".", "/")
        return f"{stem}/__init__.py" if self.package else f"{stem}.py"


_known: dict[str, dict[str, ModuleType]] = {}


def isolated_modules(name: str) -> Iterator[ModuleType]:
    """Yield every module that was run here under ``name``, the latest first."""
    for modules in reversed(_known.values()):
        if name in modules:
            yield modules[name]


def source_of(module: ModuleType) -> SourceFile | None:
    """Return the source text that an isolated module was run from."""
    return vars(module).get("__tracker_source__")


def run_isolated(
    name: str, source: Mapping[str, SourceFile], wanted: Mapping[str, frozenset[str]]
) -> ModuleType:
    """Run module ``name`` of ``source``, and what it imports of it; return the module.

    Args:
        name: A key of ``source``.
        source: The modules to serve; they hide installed ones of the same name meanwhile.
        wanted: For a script, the names whose definitions are run (see `definitions_of`).

    Raises:
        Exception: Whatever the source raises.
    """
    key = _key(source, wanted)
    if name in _known.get(key, {}):
        return _known[key][name]
    names = {*source, *(parent for module in source for parent in _parents(module))}
    hidden = {n: sys.modules.pop(n) for n in names if n in sys.modules}
    server = _Server(source, wanted, _places_of(hidden))
    sys.meta_path.insert(0, server)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(server)
        made = {n: sys.modules.pop(n) for n in names if n in sys.modules}
        sys.modules.update(hidden)
        _known.setdefault(key, {}).update(made)


def _key(source: Mapping[str, SourceFile], wanted: Mapping[str, frozenset[str]]) -> str:
    parts = [f"{name} {source[name].digest} {sorted(wanted.get(name, ()))}" for name in source]
    return "\n".join(sorted(parts))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _places_of(packages: Mapping[str, ModuleType]) -> dict[str, list[str]]:
    return {name: list(getattr(module, "__path__", ())) for name, module in packages.items()}


class _Server(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves source texts to Python's import system."""

    def __init__(
        self,
        source: Mapping[str, SourceFile],
        wanted: Mapping[str, frozenset[str]],
        places: Mapping[str, list[str]],
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._places = places
        self._packages = {parent for name in source for parent in _parents(name)}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = self._source.get(fullname)
        if file is None and fullname not in self._packages:
            return None
        origin = None if file is None else file.path or file.file
        is_package = fullname in self._packages or (file is not None and file.package)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=is_package)
        if spec.submodule_search_locations is not None:
            # Modules of the package that are not served (compiled ones) are found where they are.
            spec.submodule_search_locations.extend(self._places.get(fullname, ()))
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        file = self._source.get(module.__name__)
        if file is None:
            return  # a namespace package has no source
        text = importlib.util.decode_source(file.content)
        shown = f"<{file.path or file.file} of a checkpoint>"
        # inspect.getsource and tracebacks read the text from here: there may be no such file.
        linecache.cache[shown] = (len(text), None, text.splitlines(True), shown)
        module.__dict__["__tracker_source__"] = file
        module.__dict__["__file__"] = file.path or file.file
        code: Any = text
        if file.script:
            code = definitions_of(text, shown, self._wanted.get(module.__name__, frozenset()))
        exec(compile(code, shown, "exec", dont_inherit=True), module.__dict__)
