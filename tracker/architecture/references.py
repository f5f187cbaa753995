"""Classes and functions as ``module:qualname``, verified: a reference leads back to its object.

The script that Python runs as ``__main__`` is called by the name of its file, so that a class of
``train.py`` is ``train:Net`` whether it was logged by ``python train.py`` or imported.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import torch
import torch.nn.functional as F

from tracker.architecture.isolated import isolated_modules

_MAIN_NAMES = ("__main__", "__mp_main__")

# Builtin functions rarely know where they live: torch.relu says it is of no module at all.
_HOMES_OF_BUILTINS: tuple[ModuleType, ...] = (
    torch,
    F,
    torch._C._nn,
    torch.special,
    torch.fft,
    torch.linalg,
    math,
    operator,
)


class NotReferableError(Exception):
    """The object has no name under which another process would find it; says why."""


class NotAClassError(AttributeError):
    """A reference leads through something else than class bodies."""


def main_module_name() -> str:
    """Return the name by which the running script is known to other processes.

    ``python -m pkg.train`` is ``pkg.train``, ``python train.py`` is ``train``; a notebook or an
    interactive session has no name of its own and stays ``__main__``.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = None if main is None else file_of(main)
    # ``python -`` calls its file "<stdin>".
    return Path(file).stem if file and not file.startswith("<") else "__main__"


_script: tuple[ModuleType, str] | None = None


def file_of(module: ModuleType) -> str | None:
    """Return the file of a module, also of the running script when that has come to its end.

    Then, while checkpoints are still being saved, Python has removed it from ``__main__``.
    """
    global _script
    file: str | None = getattr(module, "__file__", None)
    if module is sys.modules.get("__main__"):
        if file is not None:
            _script = (module, file)
        elif _script is not None and _script[0] is module:
            return _script[1]
    return file


file_of(sys.modules["__main__"])  # which remembers it, while the script runs


def public_module_name(name: str) -> str:
    """Return the module name that goes into a reference: the script's own for ``__main__``."""
    return main_module_name() if name in _MAIN_NAMES else name


def imported_module(name: str) -> ModuleType | None:
    """Return the imported module that a reference means by ``name``, or None."""
    return sys.modules.get("__main__" if name == main_module_name() else name)


def loaded_module(name: str) -> ModuleType | None:
    """Return the imported module of that name, or else the archived source that ran last."""
    return imported_module(name) or next(isolated_modules(name), None)


def walk(module: ModuleType, qualname: str) -> Any:
    """Return the object at ``qualname`` in ``module``.

    Only class bodies are walked through: a module met on the way (``torch:os.system``) would give
    access to everything that it happens to import.

    Raises:
        NotAClassError: The way leads through something else.
        AttributeError: There is no such object.
    """
    found: Any = module
    for part in qualname.split("."):
        if not isinstance(found, type) and found is not module:
            raise NotAClassError(f"{qualname!r} leads through something that is not a class")
        # Not getattr: a module's __getattr__ and a class's descriptors run code.
        if part not in vars(found):
            raise AttributeError(f"there is no {qualname!r} in {module.__name__}")
        found = vars(found)[part]
    return found.__func__ if isinstance(found, staticmethod) else found


def reference(thing: Any) -> str:
    """Return ``module:qualname`` of a class or function.

    Raises:
        NotReferableError: Another process could not find it by name (a lambda, a closure, a class
            made inside a function or at run time).
    """
    if isinstance(thing, BuiltinFunctionType):
        return _builtin_reference(thing)
    module_name = getattr(thing, "__module__", None)
    qualname = getattr(thing, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str):
        raise NotReferableError("it has no name")
    name = getattr(thing, "__name__", None)
    if module_name == F.__name__ and isinstance(name, str) and vars(F).get(name) is thing:
        return f"{module_name}:{name}"  # F.max_pool2d is a closure that was given a name
    _check_name(qualname)
    loaded = sys.modules.get(module_name)
    for module in (*([loaded] if loaded else []), *isolated_modules(module_name)):
        try:
            if walk(module, qualname) is thing:
                return f"{public_module_name(module_name)}:{qualname}"
        except AttributeError:
            continue
    raise NotReferableError(f"{module_name}.{qualname} is not this object (any more)")


def _check_name(qualname: str) -> None:
    if "<lambda>" in qualname:
        raise NotReferableError("it is a lambda")
    if "<locals>" in qualname:
        outer = qualname.split(".<locals>")[0]
        raise NotReferableError(f"it is defined inside the function {outer}()")


@functools.lru_cache(maxsize=512)
def _builtin_reference(function: BuiltinFunctionType) -> str:
    name = function.__name__
    owner = getattr(function, "__self__", None)
    homes = _HOMES_OF_BUILTINS + ((owner,) if isinstance(owner, ModuleType) else ())
    for home in homes:
        # torch.linalg.norm calls itself linalg_norm.
        short = name.removeprefix(home.__name__.split(".")[-1] + "_")
        for candidate in (name, short):
            if vars(home).get(candidate) is function:
                return f"{home.__name__}:{candidate}"
    raise NotReferableError(f"the builtin {name!r} belongs to no known module")
