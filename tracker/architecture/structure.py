"""Describes a model as its module tree stands: classes, attributes, parameters, buffers, children.

It covers what no constructor call can: factories, heads replaced after construction, counters that
training changed. Modules are listed in the order they are met, children by their index in the list,
so that a submodule used twice is one entry, and a tensor used twice is one name.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tracker.architecture.containers import Sharing
from tracker.architecture.distribution import is_of_distribution
from tracker.architecture.generated import describe_class
from tracker.architecture.graphs import is_made_with_graph
from tracker.architecture.hooks import HOOKS, REINSTALLED, describe_hooks
from tracker.architecture.references import NotReferableError
from tracker.architecture.slots import Views, describe_slot, extent
from tracker.architecture.special_tensors import is_special, special_slot, write_special
from tracker.architecture.wrappers import plain_key, without_compiler
from tracker.architecture.writer import Writer, opaque_tensor
from tracker.errors import UnstorableError
from tracker.types import Json, Problem
from tracker.values import TensorTable, is_spread
from tracker.values.tensors import check_storable

NOT_ATTRIBUTES = frozenset(vars(nn.Module())) - {"_is_full_backward_hook"} | {
    "_compiled_call_impl",
    *HOOKS,
    *REINSTALLED.values(),
}
"""What nn.Module itself keeps in ``__dict__``: the description has places of its own for it, or
leaves it out, as what ``Module.compile()`` made is left out by pickle too."""


class Tree:
    """The description of a live model, with the tensors that its slots name.

    Attributes:
        modules: The live modules, in the order of the description.
        structure: The description as JSON.
        state: Tensors of the model's state_dict, by key.
        state_values: The state_dict's other entries (``get_extra_state``) as typed JSON.
        problems: What could not be described.
    """

    def __init__(self, *, check: bool) -> None:
        self.modules: list[nn.Module] = []
        self.structure: dict[str, Json] = {}
        self.state: dict[str, Tensor] = {}
        self.state_values: dict[str, Json] = {}
        self.problems: list[Problem] = []
        self._check = check
        self._extra = TensorTable(check=check)
        self._names: dict[int, str] = {}
        self._memory: dict[int, list[tuple[Tensor, str, int, int]]] = {}
        self._views: Views | None = None

    @property
    def extra(self) -> dict[str, Tensor]:
        """Tensors outside the state_dict: non-persistent buffers, plain attributes, arguments."""
        return self._extra.tensors

    def name_state(self, key: str, tensor: Tensor) -> None:
        """Take a tensor of the state_dict; its key is its name wherever else it is met."""
        self._names.setdefault(id(tensor), key)
        if is_special(tensor):
            return
        if self._check:
            check_storable(tensor, key)
        self.state[key] = tensor

    def name_of(self, tensor: Tensor, path: str) -> str:
        """Return the name of a tensor: its key in the state_dict, else the path it was met at."""
        return self._names.get(id(tensor)) or self._extra.reserve(tensor, path)

    def slot(self, tensor: Tensor, path: str) -> Json:
        """Return the JSON of one place that holds a tensor: which tensor, and as what.

        Raises:
            UnstorableError: The tensor can't be stored, or is a parameter of a special class.
        """
        if type(tensor) not in (Tensor, nn.Parameter) and not is_spread(tensor):
            raise UnstorableError(
                path,
                f"is a {type(tensor).__qualname__}; only plain tensors and nn.Parameters can be "
                "rebuilt.",
            )
        key = self._names.get(id(tensor))
        view = self._view_of_another(tensor)
        if key is not None:
            slot = describe_slot(tensor, "model", key)
        elif view is not None:
            # Its bytes are those of the other tensor; the name only tells views apart.
            slot = describe_slot(tensor, "architecture", self._extra.reserve(tensor, path))
        else:
            slot = describe_slot(tensor, "architecture", self._extra.add(tensor, path))
            if self._views is not None and not is_spread(tensor):
                self._views.add(tensor, slot)
        return slot if view is None else {**slot, "view": view}

    def _view_of_another(self, tensor: Tensor) -> Json:
        """Return how ``tensor`` is a view of another tensor of the model, or None if it is not."""
        # On the meta device there is no memory to share, nor is a spread tensor in one memory.
        if not self._check or is_spread(tensor):
            return None
        if self._views is None:
            self._views = Views()
            # The largest first: of two that overlap, it is the one that the other is a view of.
            for key, held in sorted(self.state.items(), key=lambda item: -item[1].numel()):
                if not is_spread(held):
                    self._views.add(held, describe_slot(held, "model", key))
        return self._views.find(tensor)

    def refuse_view(self, tensor: Tensor, path: str) -> None:
        """Refuse a tensor that shares memory in a way that can't be rebuilt.

        This is about parameters and buffers, which training changes. Views of one tensor of the
        state_dict are rebuilt as views; other overlaps would become copies. Tensors that lie beside
        each other in one storage (the flat weights of an RNN) are fine.
        """
        if not self._check or is_spread(tensor):
            return
        start, end = extent(tensor)
        if start == end or self._view_of_another(tensor) is not None:
            return
        neighbours = self._memory.setdefault(tensor.untyped_storage().data_ptr(), [])
        for other, name, other_start, other_end in neighbours:
            if other is tensor:
                return
            if start < other_end and other_start < end:
                raise UnstorableError(
                    path,
                    f"shares its memory with {name}, which can't be rebuilt. Use the same tensor "
                    "object in both places, or a clone.",
                )
        neighbours.append((tensor, path, start, end))


def describe_tree(model: nn.Module, *, check: bool = True) -> Tree:
    """Return the description of ``model`` as it stands.

    Args:
        model: Any module; it is not changed.
        check: Refuse state that can't be stored. False for a model on the meta device.

    Raises:
        UnstorableError: A tensor of the state_dict has no plain bytes; names it.
    """
    # keep_vars returns the very tensors of the modules, so that slots find their keys.
    state: dict[str, Any] = {
        plain_key(key): value for key, value in model.state_dict(keep_vars=True).items()
    }
    sharing = Sharing()
    while True:
        tree = _Describer(model, check, sharing).describe(state)
        following = sharing.next_pass()
        if following is None:
            return tree
        sharing = following


class _Describer:
    """The state of one description: indices of modules and names of tensors already met."""

    def __init__(self, model: nn.Module, check: bool, sharing: Sharing) -> None:
        self._model = model
        self._tree = Tree(check=check)
        self._indices: dict[int, int] = {}
        self._writer = Writer(self._module_reference, self._tree.slot, sharing)
        self._entries: list[Json] = []
        self._parts: dict[int, Json] = {}

    def describe(self, state: dict[str, Any]) -> Tree:
        for key, value in state.items():
            if isinstance(value, Tensor):
                self._tree.name_state(key, value)
        self._index(self._model, "")
        self._tree.state_values = self._state_values(state)
        self._tree.structure = {"modules": self._entries, "objects": self._writer.objects}
        self._tree.problems = self._writer.problems
        return self._tree

    def _state_values(self, state: dict[str, Any]) -> dict[str, Json]:
        """Return the entries that are no plain tensors, as JSON.

        Packed weights of quantised modules, which are no parameters or buffers, are loaded in one
        call with all that their module saves, so its tensors are among them.
        """
        known = len(self._writer.problems)
        held = {
            id(tensor)
            for module in self._tree.modules
            for tensor in (*module._parameters.values(), *module._buffers.values())
        }
        packed = {
            key.rpartition(".")[0]
            for key, value in state.items()
            if not key.endswith("_extra_state")
            and (id(value) not in held if is_special(value) else not isinstance(value, Tensor))
        }
        values = {
            key: self._special(value, key) if is_special(value) else self._writer.write(value, key)
            for key, value in state.items()
            if is_special(value)
            or not isinstance(value, Tensor)
            or key.rpartition(".")[0] in packed
        }
        self._raise_first(self._writer.problems[known:], "(of the state_dict) ")
        return values

    def _raise_first(self, problems: list[Problem], where: str = "") -> None:
        for problem in problems:
            message = problem.message.removeprefix(f"{problem.path}: ")
            raise UnstorableError(problem.path, f"{where}{message}")

    def _special(self, tensor: Tensor, path: str) -> Json:
        """Return what a special tensor consists of, looked at once.

        Raises:
            UnstorableError: It consists of something that can't be stored.
        """
        if id(tensor) not in self._parts:
            known = len(self._writer.problems)
            written = write_special(tensor, path, self._writer)
            new = self._writer.problems[known:]
            del self._writer.problems[known:]
            self._raise_first(new)
            self._parts[id(tensor)] = written
        return self._parts[id(tensor)]

    def _module_reference(self, module: nn.Module, path: str) -> Json:
        return {"$module": self._index(module, path)}

    def _index(self, module: nn.Module, path: str) -> int:
        module = without_compiler(module)
        known = self._indices.get(id(module))
        if known is not None:
            return known
        index = self._indices[id(module)] = len(self._tree.modules)
        self._tree.modules.append(module)
        self._entries.append(None)
        self._entries[index] = self._entry(module, path)
        return index

    def _entry(self, module: nn.Module, path: str) -> Json:
        entry: dict[str, Json] = {
            "class": self._class(module, path),
            "training": module.training,
            "parameters": [
                [name, self._slot(parameter, _join(path, name))]
                for name, parameter in module._parameters.items()
            ],
            "buffers": [
                [
                    name,
                    self._slot(buffer, _join(path, name)),
                    name not in module._non_persistent_buffers_set,
                ]
                for name, buffer in module._buffers.items()
            ],
            "children": [
                [name, None if child is None else self._index(child, _join(path, name))]
                for name, child in module._modules.items()
            ],
            "attributes": {
                name: self._writer.write(value, _join(path, name))
                # In the order in which they are read back, so that objects get the same numbers.
                for name, value in sorted(vars(module).items())
                if name not in NOT_ATTRIBUTES
                and not is_made_with_graph(module, name)
                and not is_of_distribution(name, value)
            },
        }
        hooks = describe_hooks(module, self._writer, path)
        if hooks:
            entry["hooks"] = hooks
        return entry

    def _class(self, module: nn.Module, path: str) -> Json:
        try:
            return describe_class(module)
        except NotReferableError as error:
            kind = type(module)
            self._writer.problems.append(
                Problem(
                    path or kind.__qualname__,
                    f"its class {kind.__qualname__} can't be found by name: {error}. "
                    "Define the class at the top level of a module.",
                )
            )
            bases: list[Json] = [f"{b.__module__}.{b.__qualname__}" for b in kind.__mro__]
            return {"$opaque": bases}

    def _slot(self, tensor: Tensor | None, path: str) -> Json:
        if tensor is None:
            return None
        try:
            if is_special(tensor):
                name = self._tree.name_of(tensor, path)
                return special_slot(tensor, name, self._special(tensor, path))
            slot = self._tree.slot(tensor, path)
            self._tree.refuse_view(tensor, path)
            return slot
        except UnstorableError as error:
            self._writer.problems.append(Problem(path, str(error)))
            return opaque_tensor(tensor)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
