"""Finds the class or function that a reference means, importing as little as possible.

The order: what the caller gave, what is imported already, what is importable by its module's name,
for a class of a script the definitions in that file, and last the checkpoint's archived source if
the very same file still lies on this machine. With ``trust="source"`` the archived source goes
before all but what the caller gave, unless the imported module is of that very source.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from tracker.architecture import references
from tracker.architecture.isolated import SourceFile, isolated_modules, run_isolated, source_of
from tracker.architecture.scripts import may_define, same_definitions
from tracker.architecture.trust import Trust, check_module_name, is_listed, refuse
from tracker.errors import ClassNotFoundError, FormatError
from tracker.types import Json

GIVEN = "given by the caller"
ARCHIVED = "the checkpoint's archived source"


@dataclass(frozen=True, slots=True)
class Imports:
    """Where one loading call finds classes.

    Attributes:
        trust: What the caller allows.
        classes: Classes given by the caller, by qualname or full reference.
        source: The checkpoint's archived source, by module name.
        local: Whether the checkpoint comes from a store on this machine, so that source which
            still lies where it was, unchanged, is the user's own.
        wanted: For each module, the top-level names that the model needs of it.
        found: How each module was found, filled while loading: for `explain`.
        changed: Modules whose definitions are not those that were archived, and the files that
            these came from, filled while loading.
        tried: What was tried before the way that led to the model, and why it failed; filled while
            loading.
        resolved: What each reference led to: a model names its few classes hundreds of times.
    """

    trust: Trust = field(default_factory=Trust)
    classes: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, SourceFile] = field(default_factory=dict)
    local: bool = False
    wanted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)

    def module_class(self, name: Json, path: str) -> type[nn.Module]:
        """Return the ``nn.Module`` subclass that a reference means.

        Raises:
            UntrustedCheckpointError: It is something else, or of a module that is refused.
            ClassNotFoundError: It is not there; says where it was looked for.
        """
        if not isinstance(name, str):
            raise FormatError(f"{path}: {name!r} is not a class reference 'module:qualname'.")
        found = self.find(name, path)
        if not isinstance(found, type) or not issubclass(found, nn.Module):
            refuse(path, name, "it is not a torch.nn.Module")
        if self.found[name] != GIVEN:
            check_module_name(own_reference(found, name), path, self.trust)
        return found

    def factory(self, name: Json, path: str) -> Callable[..., Any]:
        """Return the function that makes a model (see ``tracker.reconstruct_with``).

        It runs whatever it holds, so it must be of a package that the caller has named.

        Raises:
            UntrustedCheckpointError: It is of another package, or no function.
            ClassNotFoundError: It is not there; says where it was looked for.
        """
        if not isinstance(name, str):
            raise FormatError(f"{path}: {name!r} is not a reference 'module:qualname'.")
        why = "it is a function that makes the model, and runs only if you say so"
        self.check_named(name, path, why)
        found = self.find(name, path, function=True)
        if not isinstance(found, FunctionType):
            refuse(path, name, "it is not a function")
        if self.found[name] != GIVEN:
            self.check_named(own_reference(found, name), path, why)
        return found

    def check_named(self, reference: str, path: str, why: str) -> None:
        """Refuse what is not of a package, or archived source, that the caller named as trusted."""
        module = reference.partition(":")[0]
        is_source = self.trust.source and module in self.source
        if not is_source and module.split(".")[0] not in self.trust.named:
            refuse(path, reference, why)

    def extended(self, classes: Iterable[Any]) -> Imports:
        """Return the same with the packages of the model's own classes trusted."""
        modules = [references.public_module_name(cls.__module__) for cls in classes]
        return replace(self, trust=self.trust.extended(modules))

    def given(self) -> dict[Any, str]:
        """Return the classes given by the caller that were asked for, with their stored names."""
        asked = [name for name, where in self.found.items() if where == GIVEN]
        return {
            self.classes[key]: name
            for name in asked
            for key in (name, name.partition(":")[2])
            if key in self.classes
        }

    def find(self, reference: str, path: str, *, function: bool = False) -> Any:
        """Return the object that ``module:qualname`` means.

        Args:
            reference: The reference, as `references.reference` wrote it.
            path: Its place in the manifest, for errors.
            function: Whether it must be a function, not a class.

        Raises:
            UntrustedCheckpointError: The module is none that a model's class can come from.
            ClassNotFoundError: It is not there; says where it was looked for.
        """
        module_name, _, qualname = reference.partition(":")
        if reference.count(":") != 1 or not module_name or not qualname:
            raise FormatError(f"{path}: {reference!r} is not a reference 'module:qualname'.")
        for key in (reference, qualname):
            if key in self.classes:
                self.found[reference] = GIVEN
                return self.classes[key]
        check_module_name(reference, path, self.trust)
        if reference in self.resolved:
            return self.resolved[reference]
        for where, module in self._places(module_name, qualname, reference, path, function):
            try:
                thing = references.walk(module, qualname)
            except references.NotAClassError:
                refuse(path, reference, "it leads through something that is not a class")
            except AttributeError:
                continue
            self.found[reference] = where
            self._note_change(module_name, module)
            self.resolved[reference] = thing
            return thing
        raise ClassNotFoundError(self._advice(module_name, qualname))

    def _places(
        self, name: str, qualname: str, reference: str, path: str, function: bool
    ) -> Iterator[tuple[str, ModuleType]]:
        loaded = references.imported_module(name)
        archived = self.source.get(name)
        if archived is not None and self.trust.source and not _is_source_of(archived, loaded):
            yield ARCHIVED, self._run(name, self.source)
        if loaded is not None:
            yield "already imported", loaded
        # Of another checkpoint's source of the same name nothing may come: it can differ.
        for known in isolated_modules(name):
            if archived is None or source_of(known) == archived:
                yield "source that ran before in this process", known
        if archived is not None and archived.script:
            file = _find_script(name)
            if file is not None:
                current = SourceFile(name, file.read_bytes(), str(file), True, False)
                # Another script may have the name of the one that trained, which is still there.
                here = self._is_as_archived(name, current.content) or not self._is_ours()
                if here and _defines(current, qualname, function):
                    yield f"definitions in the script {file}", self._run(name, {name: current})
        elif loaded is None and name.isascii():
            text = _installed_source(name)
            if text is not None and may_define(text, qualname.split(".")[0], function=function):
                module = _import(name, qualname)
                yield f"imported from {getattr(module, '__file__', name)}", module
            elif text is not None and archived is None:
                refuse(path, reference, f"module {name!r} does not define it")
        if archived is not None and self._is_ours() and _defines(archived, qualname, function):
            yield ARCHIVED, self._run(name, self.source)

    def _run(self, name: str, source: Mapping[str, SourceFile]) -> ModuleType:
        listed = {module: file for module, file in source.items() if is_listed(module, self.trust)}
        try:
            return run_isolated(name, listed, self.wanted)
        except Exception as error:
            raise ClassNotFoundError(
                f"Running the definitions of {name!r} failed: {type(error).__name__}: {error}"
            ) from error

    def _note_change(self, name: str, module: ModuleType) -> None:
        source = source_of(module)
        file = getattr(module, "__file__", None)
        if name not in self.source or file is None:
            return
        content = source.content if source is not None else _content(file)
        if content is not None and not self._is_as_archived(name, content):
            self.changed[name] = file

    def _is_as_archived(self, name: str, content: bytes) -> bool:
        wanted = self.wanted.get(name, frozenset())
        return same_definitions(self.source[name].content, content, wanted)

    def _is_ours(self) -> bool:
        return self.local and all(_is_unchanged(file) for file in self.source.values())

    def _advice(self, module: str, qualname: str) -> str:
        text = f"The class {qualname!r} of module {module!r} was not found in this process. "
        archived = self.source.get(module)
        if archived is not None and archived.path:
            text += f"When the checkpoint was logged it was in {archived.path}. "
        if module == "__main__":
            options = ["put the class, typed in an interactive session, into a file of its own"]
        else:
            options = [f"make {module!r} importable (run from its folder, or install its package)"]
        options.append(f'pass classes={{"{qualname}": {qualname.split(".")[-1]}}}')
        if archived is not None:
            options.append('pass trust="source" to run the source kept in the checkpoint')
        return text + "You can: " + "; or ".join(options) + "."


def current_file(archived: SourceFile) -> Path | None:
    """Return the file that a module of archived source is in now; nothing is imported."""
    file = getattr(references.imported_module(archived.module), "__file__", None)
    if file is not None:
        return Path(file)
    if archived.script:
        return _find_script(archived.module)
    spec = _find_without_importing(archived.module)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _find_script(name: str) -> Path | None:
    """Return the file of a script, looked for in the working directory and on ``sys.path``."""
    relative = Path(*name.split(".")).with_suffix(".py")
    for folder in dict.fromkeys([str(Path.cwd()), *sys.path]):
        file = Path(folder or ".") / relative
        if file.is_file():
            return file.resolve()
    return None


def _is_source_of(archived: SourceFile, module: ModuleType | None) -> bool:
    """Return whether an imported module is of the very source that was archived."""
    file = getattr(module, "__file__", None)
    return file is not None and _content(file) == archived.content


def _is_unchanged(archived: SourceFile) -> bool:
    """Return whether the file that was archived still lies where it was, byte for byte.

    It must have the module's name: else a checkpoint could run any file that lies here.
    """
    parts = Path(archived.file).parts
    named = Path(archived.path).parts[-len(parts) :] == parts
    return named and _content(archived.path, len(archived.content)) == archived.content


def _defines(archived: SourceFile, qualname: str, function: bool) -> bool:
    try:
        text = importlib.util.decode_source(archived.content)
    except (SyntaxError, ValueError):
        return False
    return may_define(text, qualname.split(".")[0], function=function)


def _content(file: str, size: int | None = None) -> bytes | None:
    """Return a file's bytes, or None if there is no regular file, or not one of ``size`` bytes.

    A checkpoint may name a pipe, which would be waited for, or a device that has no end.
    """
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode) or size not in (None, status.st_size):
            return None
        return Path(file).read_bytes()
    except (OSError, ValueError):
        return None


def own_reference(thing: Any, reference: str) -> str:
    """Return the reference with the module that a class or function says it is of.

    A module that imports a function is not where that function comes from.
    """
    module = getattr(thing, "__module__", None)
    qualname = reference.partition(":")[2]
    return f"{references.public_module_name(str(module))}:{qualname}"


def _installed_source(name: str) -> str | None:
    """Return the text of a module that could be imported.

    A checkpoint must not be able to run a module for its side effects, so its source is read
    first: a module that does not define what is asked for is never imported, nor is its package.
    """
    spec = _find_without_importing(name)
    if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        return None
    try:
        return spec.loader.get_source(name)
    except ImportError:
        return None


def _import(name: str, qualname: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ClassNotFoundError(
            f"Importing {name!r}, which defines {qualname!r}, failed: "
            f"{type(error).__name__}: {error}"
        ) from error


def _find_without_importing(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return a module's spec; ``importlib.util.find_spec`` would import its parent packages."""
    package, *inner = name.split(".")
    try:
        # Not importlib.util.find_spec: of an imported package it returns what that says of itself.
        specs = (finder.find_spec(package, None) for finder in sys.meta_path)
        spec = next((found for found in specs if found is not None), None)
        for index, _ in enumerate(inner):
            if spec is None or spec.submodule_search_locations is None:
                return None
            full = ".".join([package, *inner[: index + 1]])
            places = list(spec.submodule_search_locations)
            spec = importlib.machinery.PathFinder.find_spec(full, places)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec
