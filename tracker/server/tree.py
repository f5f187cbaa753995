"""A model's architecture as a tree for a page: repeated blocks folded, parameters counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.architecture.description import modules_of, objects_of
from tracker.errors import FormatError
from tracker.types import Json, TensorEntry

MOST_MODULES = 600
DEEPEST = 24
_SMALL = 60
_DEEPEST_VALUE = 4
_LONGEST_ATTRIBUTES = 240


@dataclass(slots=True)
class Module:
    """A module of the tree.

    Attributes:
        name: Its name in its parent, ``0 to 11`` for a row of equal ones; empty for the model.
        class_name: Its class, without the module that defines it.
        defined_in: That module.
        attributes: Its attributes, as text.
        parameters: How many numbers its parameters hold, those of its children included.
        children: Its children.
        times: How many equal ones it stands for.
    """

    name: str
    class_name: str
    defined_in: str = ""
    attributes: str = ""
    parameters: int = 0
    children: list[Module] = field(default_factory=list)
    times: int = 1


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of a model.

    Attributes:
        root: The model itself.
        modules: How many modules it consists of.
        shown: How many of them are in the tree, after folding and cutting.
        cut: Whether modules were left out because there are too many, or too deep ones.
    """

    root: Module
    modules: int
    shown: int
    cut: bool

    @property
    def open_levels(self) -> int:
        """How many levels are open at first: a small tree is seen as a whole."""
        return 4 if self.shown <= _SMALL else 2


def make_tree(structure: Json, tensors: Mapping[str, TensorEntry]) -> Tree:
    """Return the tree of a described model.

    Args:
        structure: The description, as `tracker.types.Architecture` has it.
        tensors: The model's tensors by name.

    Raises:
        FormatError: The description is malformed.
    """
    entries, objects = modules_of(structure), objects_of(structure)
    try:
        made = _modules(entries, objects)
        sizes = _parameter_sizes(entries, tensors)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"structure: the module tree is malformed: {error!r}.") from error
    for name, count in sizes.items():
        for path in _paths_above(name):
            if path in made:
                made[path].parameters += count
    root = made[""]
    for module in reversed(made.values()):  # children come after their parents
        module.children = _folded(module.children)
    shown, cut = _cut(root)
    return Tree(root, len(made), shown, cut)


def _modules(entries: Sequence[dict[str, Any]], objects: Sequence[Json]) -> dict[str, Module]:
    """Return the modules by their paths, in order; one in two places is told of at the second."""
    made: dict[str, Module] = {}
    met: dict[int, str] = {}
    pending: list[tuple[int, str, str]] = [(0, "", "")]
    while pending:
        index, parent, name = pending.pop()
        path = f"{parent}.{name}" if parent else name
        if index in met:
            module = Module(name, f"the same as {met[index] or 'the model itself'}")
        else:
            met[index] = path
            entry = entries[index]
            defined_in, _, class_name = _class_of(entry["class"]).rpartition(":")
            attributes = attributes_text(entry["attributes"], objects)
            module = Module(name, class_name, defined_in, attributes)
            pending += [
                (child, path, str(own_name))
                for own_name, child in reversed(entry["children"])
                if child is not None
            ]
        made[path] = module
        if index != 0 or name:
            made[parent].children.append(module)
    return made


def _class_of(described: Json) -> str:
    if isinstance(described, dict):  # one that torch made at run time, or that has no name
        described = next(iter(described.values()), None)
    while isinstance(described, list | dict):
        inner = described.values() if isinstance(described, dict) else described
        described = next(iter(inner), None)
    return str(described or "a class without a name")


def attributes_text(attributes: Mapping[str, Json], objects: Sequence[Json]) -> str:
    """Return a module's public attributes as its constructor might have taken them.

    Example:
        >>> attributes_text({"stride": {"$tuple": [2, 2]}, "affine": True, "_hidden": 1}, [])
        'stride=(2, 2), affine=True'
    """
    shown = ", ".join(
        f"{name}={_value(value, objects, 0)}"
        for name, value in attributes.items()
        if not name.startswith("_")
    )
    return shown if len(shown) <= _LONGEST_ATTRIBUTES else f"{shown[:_LONGEST_ATTRIBUTES]}…"


def _value(value: Json, objects: Sequence[Json], depth: int) -> str:
    if depth > _DEEPEST_VALUE:
        return "…"
    if isinstance(value, list):
        return f"[{', '.join(_value(item, objects, depth + 1) for item in value)}]"
    if not isinstance(value, dict):
        return repr(value)
    index = value.get("$object")
    if type(index) is int and 0 <= index < len(objects):
        return _value(objects[index], objects, depth + 1)
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "$tuple" and isinstance(inner, list):
            items = [_value(item, objects, depth + 1) for item in inner]
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        if kind.startswith("$"):
            return inner if isinstance(inner, str) else _value(inner, objects, depth + 1)
    return "{…}" if value else "{}"


def _parameter_sizes(
    entries: Sequence[dict[str, Any]], tensors: Mapping[str, TensorEntry]
) -> dict[str, int]:
    """Return how many numbers each parameter holds; one in two places counts at the first."""
    names = {
        slot.get("name")
        for entry in entries
        for _, slot in entry["parameters"]
        if isinstance(slot, dict)
    }
    sizes: dict[str, int] = {}
    for name, entry in tensors.items():
        if name in names and entry.same_as is None:
            count = 1
            for length in entry.shape:
                count *= length
            sizes[name] = count
    return sizes


def _paths_above(name: str) -> Iterator[str]:
    while name:
        name = name.rpartition(".")[0]
        yield name


def _folded(children: Sequence[Module]) -> list[Module]:
    """Return siblings with each row of equal ones as one: ``0 to 11``, twelve times."""
    folded: list[Module] = []
    first = ""
    for child in children:
        last = folded[-1] if folded else None
        if last and first.isdigit() and child.name.isdigit() and _equal(last, child):
            last.times += 1
            last.name = f"{first} to {child.name}"
        else:
            first = child.name
            folded.append(child)
    return folded


def _equal(a: Module, b: Module) -> bool:
    """Return whether two folded modules differ in nothing but their names and how many they are."""
    pending = [(a, b, True)]
    while pending:
        one, other, top = pending.pop()
        if (one.class_name, one.defined_in, one.attributes) != (
            other.class_name,
            other.defined_in,
            other.attributes,
        ) or len(one.children) != len(other.children):
            return False
        if top:
            if one.parameters != other.parameters:
                return False
        elif (one.name, one.times, one.parameters) != (other.name, other.times, other.parameters):
            return False
        pending += [(x, y, False) for x, y in zip(one.children, other.children, strict=True)]
    return True


def _cut(root: Module) -> tuple[int, bool]:
    """Take out what is too deep or too much, level by level; return how many stay."""
    shown, cut = 1, False
    level, depth = [root], 0
    while level:
        depth += 1
        following: list[Module] = []
        for module in level:
            room = 0 if depth > DEEPEST else max(0, MOST_MODULES - shown)
            cut = cut or len(module.children) > room
            module.children = module.children[:room]
            shown += len(module.children)
            following += module.children
        level = following
    return shown, cut
