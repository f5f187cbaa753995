"""Loads classes from a script without running it: only the statements that the classes need.

A training script often has no ``if __name__ == "__main__"`` guard, so importing it would train
again. Of its top level only imports, definitions and assignments are executed, and of those only
what the wanted classes refer to, directly or through each other. Loops, calls and prints never
run. What a class refers to is read from Python's own symbol tables, so that a local variable does
not drag in a global of the same name.

What is wanted comes from a checkpoint, so it can't start at any statement: only at a class, at a
function, and at an assignment that makes a class. ``result = train()`` runs only if a wanted class
reads ``result``.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from importlib.util import decode_source

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_BINDINGS = (*_DEFINITIONS, ast.Import, ast.ImportFrom, *_ASSIGNMENTS)
_TYPE_ALIAS: type[ast.AST] | None = getattr(ast, "TypeAlias", None)
_CLASS_MAKERS = frozenset(
    "namedtuple NamedTuple TypedDict NewType Enum IntEnum StrEnum Flag IntFlag make_dataclass "
    "new_class type".split()
)
"""Functions whose result is the class that its name is assigned to."""

MAX_SOURCE_FILE = 1 << 20
"""Bytes; a larger Python file is not source that somebody wrote."""

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser raises of text that is no source, or nested without end."""


def definitions_of(source: str, filename: str, wanted: Iterable[str]) -> ast.Module:
    """Return the part of a script that defines ``wanted`` top-level names.

    A wanted name that is no class or function of the script is left out, with all that makes it.

    Raises:
        SyntaxError: The source is not Python.

    Example:
        >>> tree = definitions_of("import os\\nW = 3\\nclass A: w = W\\nprint(A)", "a.py", ["A"])
        >>> ast.unparse(tree).split("\\n")[0]
        'W = 3'
    """
    tree = ast.parse(source, filename)
    statements = [s for s in tree.body if _may_run(s)]
    binders: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in _bound_names(statement):
            binders.setdefault(name, []).append(statement)
    defined = {name for statement in statements for name in _defined_names(statement)}
    kept = _closure((name for name in wanted if name in defined), binders)
    future = [s for s in statements if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    star = [s for s in statements if _is_star(s)]
    kept |= {id(s) for s in (*future, *star)}
    tree.body = [s for s in tree.body if id(s) in kept]
    return tree


def _closure(wanted: Iterable[str], binders: dict[str, list[ast.stmt]]) -> set[int]:
    """Return the ids of the statements that the wanted names need, through each other."""
    chosen: set[int] = set()
    seen: set[str] = set()
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for statement in binders.get(name, ()):
            if id(statement) not in chosen:
                chosen.add(id(statement))
                pending.extend(_names_read(statement))
    return chosen


def same_definitions(one: bytes, other: bytes, wanted: Iterable[str]) -> bool:
    """Return whether two sources define ``wanted`` alike, comments and layout aside.

    Example:
        >>> same_definitions(b"W = 3\nN = 1", b"W = 3  # wide\nN = 2", ["W"])
        True
    """
    if one == other:
        return True
    if max(len(one), len(other)) > MAX_SOURCE_FILE:
        return False
    try:
        parts = [definitions_of(decode_source(each), "", wanted) for each in (one, other)]
        return ast.dump(parts[0]) == ast.dump(parts[1])
    except _UNREADABLE:
        return False


def may_define(source: str, name: str, *, function: bool = False) -> bool:
    """Return whether a module may define the class ``name``, as far as its text tells.

    True for a definition, another name for one, a call that makes a class, an import from another
    module, and where a star import leaves it open; all at the module's top level, inside its ``if``
    and ``try`` blocks too.

    Args:
        source: The module's text.
        name: A top-level name.
        function: Whether a function of that name is meant, not a class.
    """
    try:
        tree = ast.parse(source)
    except _UNREADABLE:
        return False
    return any(
        _is_star(statement) or (_may_bind(statement, function) and name in _bound_names(statement))
        for statement in _top_level(tree)
    )


def _may_bind(statement: ast.stmt, function: bool) -> bool:
    """Return whether a statement may give a class, or else a function, the name that it binds."""
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        is_alias = isinstance(statement.value, (ast.Name, ast.Attribute))
        return is_alias or (not function and _makes_a_class(statement.value))
    definition = _FUNCTIONS if function else (ast.ClassDef,)
    return isinstance(statement, (*definition, ast.ImportFrom))


def _top_level(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, those in blocks included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (*_DEFINITIONS, ast.Lambda)):
            yield from _top_level(node)


def _is_star(statement: ast.AST) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*"


def _may_run(statement: ast.stmt) -> bool:
    """Tell definitions from doings; blocks count if they hold nothing but definitions."""
    if isinstance(statement, ast.If):
        return not _is_main_guard(statement) and all(
            map(_may_run, (*statement.body, *statement.orelse))
        )
    if isinstance(statement, ast.Try):
        handlers = [s for handler in statement.handlers for s in handler.body]
        parts = (*statement.body, *handlers, *statement.orelse, *statement.finalbody)
        return all(isinstance(s, ast.Pass) or _may_run(s) for s in parts)
    is_alias = _TYPE_ALIAS is not None and isinstance(statement, _TYPE_ALIAS)
    return is_alias or isinstance(statement, _BINDINGS)


def _is_main_guard(statement: ast.If) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _bound_names(statement: ast.AST) -> set[str]:
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(a.asname or a.name).split(".")[0] for a in statement.names}
    if isinstance(statement, (ast.If, ast.Try)):
        return {name for inner in _inner(statement) for name in _bound_names(inner)}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _defined_names(statement: ast.stmt) -> set[str]:
    """Return the classes and functions that a statement defines; a checkpoint may ask for these."""
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, (ast.If, ast.Try)):
        return {name for inner in _inner(statement) for name in _defined_names(inner)}
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _makes_a_class(statement.value):
        return _bound_names(statement)
    return set()


def _makes_a_class(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name in _CLASS_MAKERS


def _inner(statement: ast.If | ast.Try) -> Iterator[ast.stmt]:
    """Yield the statements of a block, those of its handlers included."""
    for part in ast.iter_child_nodes(statement):
        for inner in part.body if isinstance(part, ast.ExceptHandler) else [part]:
            if isinstance(inner, ast.stmt):
                yield inner


def _names_read(statement: ast.stmt) -> set[str]:
    """Return the global names that a top-level statement reads when run or, inside, when called."""
    table = symtable.symtable(ast.unparse(statement), "<statement>", "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    pending = list(table.get_children())
    while pending:
        scope = pending.pop()
        names |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
        pending.extend(scope.get_children())
    return names
