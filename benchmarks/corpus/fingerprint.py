"""What must be equal before a model counts as rebuilt: told from the live object, in plain JSON.

It shares no code with tracker, whose own comparison is what the benchmark puts to the test.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import hashlib
import logging
import pathlib
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Json = Any

# transformers hangs these in when a forward pass asks for hidden states and finds no mark.
_PASSING_HOOKS = ("transformers.utils.output_capturing",)
_MARKS = ("_output_capturing_hooks_installed",)

SCRIPTS = ("__main__", "training_script")

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_TORCH_OWN = {
    *vars(nn.Module()),
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
}


def fingerprint(model: nn.Module) -> dict[str, Json]:
    """Return what is compared: weights by their bits, tree, attributes, hooks, sharing."""
    modules = dict(_modules(model, ""))
    tensors = dict(_tensors(modules))
    values = _Values(modules, tensors)
    return {
        "state_dict": {
            key: values.tensor(v) if isinstance(v, Tensor) else values.of(v)
            for key, v in model.state_dict().items()
        },
        "tree": {
            path: {
                "class": class_name(type(module)),
                "training": module.training,
                "parameters": list(module._parameters),
                "buffers": list(module._buffers),
                "children": list(module._modules),
                "not_persistent": sorted(module._non_persistent_buffers_set),
            }
            for path, module in modules.items()
        },
        "tensors": {
            name: {
                **values.tensor(tensor),
                "parameter": isinstance(tensor, nn.Parameter),
                "requires_grad": tensor.requires_grad,
            }
            for name, tensor in tensors.items()
        },
        "sharing": _sharing(modules, tensors),
        "attributes": {
            path: {
                name: values.of(value)
                for name, value in sorted(vars(module).items())
                if name not in _TORCH_OWN and name not in _MARKS
            }
            for path, module in modules.items()
        },
        "hooks": {
            path: {
                name: [values.of(hook) for hook in hooks]
                for name in _HOOKS
                if (hooks := _lasting(vars(module).get(name)))
            }
            for path, module in modules.items()
        },
    }


def first_difference(one: Json, other: Json, path: str = "") -> str:
    """Return where two fingerprints first differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            here = f"{path}[{key}]" if path else str(key)
            if key not in one or key not in other:
                side = "only before" if key in one else "only after"
                return f"{here} {side}: {str(one.get(key, other.get(key)))[:300]}"
            if found := first_difference(one[key], other[key], here):
                return found
        return "" if list(one) == list(other) else f"{path}: other order"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            if found := first_difference(a, b, f"{path}[{index}]"):
                return found
        return ""
    return "" if one == other else f"{path}: {str(one)[:200]} became {str(other)[:200]}"


def output_of(model: nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Json:
    """Return what the model computes from the inputs, by its bits; random draws are seeded."""
    torch.manual_seed(1234)
    np.random.seed(1234)
    with torch.no_grad():
        out = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    return _Values({}, {}).of(out)


def class_name(cls: type) -> str:
    return f"{_module_name(cls)}:{cls.__qualname__}"


def _module_name(thing: Any) -> str:
    """Return the module's name; a script has one when it runs and another when it is imported."""
    return "the script" if thing.__module__ in SCRIPTS else str(thing.__module__)


def _modules(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module of the tree under every path, children of one met before left out."""
    seen: set[int] = set()
    pending = [(path, module)]
    while pending:
        path, module = pending.pop()
        yield path, module
        if id(module) not in seen:
            seen.add(id(module))
            prefix = f"{path}." if path else ""
            found = [(prefix + n, m) for n, m in module._modules.items() if m is not None]
            pending.extend(reversed(found))


def _lasting(hooks: Mapping[int, Any] | None) -> list[Any]:
    """Return the hooks without those that a library hangs in and out while it runs."""
    kept = (hooks or {}).values()
    return [hook for hook in kept if getattr(hook, "__module__", "") not in _PASSING_HOOKS]


def _tensors(modules: Mapping[str, nn.Module]) -> list[tuple[str, Tensor]]:
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, module in modules.items()
        for name, tensor in {**module._parameters, **module._buffers}.items()
        if tensor is not None
    ]


def _sharing(modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Json:
    """Return the names under which one module, or one tensor, is met more than once."""
    groups: dict[int, list[str]] = collections.defaultdict(list)
    for name, thing in [*modules.items(), *tensors.items()]:
        groups[id(thing)].append(name)
    return sorted(names for names in groups.values() if len(names) > 1)


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class _Values:
    """Turns values into JSON; what was met before is told by the place where it was met first."""

    def __init__(self, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
        self._names: dict[int, str] = {}
        self._alive: list[Any] = []
        for kind, named in (("module", modules), ("tensor", tensors)):
            for name, thing in named.items():
                self._names.setdefault(id(thing), f"{kind} {name!r}")

    def tensor(self, tensor: Tensor) -> dict[str, Json]:
        """Return a tensor by dtype, shape, strides and the digest of its bytes."""
        told: dict[str, Json] = {"class": class_name(type(tensor)), "dtype": str(tensor.dtype)}
        if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            return told
        told["shape"] = list(tensor.shape)
        if hasattr(tensor, "__tensor_flatten__"):
            names, context = tensor.__tensor_flatten__()
            inner = {name: self.tensor(getattr(tensor, name)) for name in names}
            return {**told, "inner": inner, "context": self.of(context)}
        if tensor.is_meta:
            return told
        plain = tensor.detach()
        if plain.is_quantized:
            per_channel = plain.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
            scale = (
                [self.of(plain.q_per_channel_scales()), self.of(plain.q_per_channel_zero_points())]
                if per_channel
                else [plain.q_scale(), plain.q_zero_point()]
            )
            return {**told, "scale": scale, "bytes": digest(_bytes(plain.int_repr()))}
        if plain.layout is not torch.strided:
            return {**told, "layout": str(plain.layout), "bytes": digest(_bytes(plain.to_dense()))}
        strides = [s for n, s in zip(plain.shape, plain.stride(), strict=True) if n > 1]
        return {**told, "strides": strides, "bytes": digest(_bytes(plain))}

    def of(self, value: Any) -> Json:
        if value is None or (isinstance(value, bool | int | str) and type(value) in _PLAIN):
            return value
        if type(value) in (float, complex, bytes, range, slice, type(...), type(NotImplemented)):
            return repr(value)
        if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
            return repr(value)
        if isinstance(value, type):
            return f"class {class_name(value)}"
        if isinstance(value, enum.Enum):
            return f"{class_name(type(value))}.{value.name}"
        if isinstance(value, pathlib.PurePath):
            return f"{class_name(type(value))} {value}"
        if isinstance(value, RemovableHandle):
            hooks = value.hooks_dict_ref() or {}
            return {"handle of": self.of(hooks.get(value.id))}
        if isinstance(value, logging.Logger):
            return f"logger {value.name}"
        if type(value).__module__ == "typing" or isinstance(value, _ANNOTATIONS):
            return f"annotation {value!r}"
        if isinstance(value, types.ModuleType):
            return f"Python module {value.__name__}"
        if id(value) in self._names:
            return self._names[id(value)]
        self._names[id(value)] = f"object {len(self._names)}"
        try:
            return self._compound(value)
        finally:
            if isinstance(value, _VALUES):
                # It makes no difference whether two places hold one of these or two equal ones.
                del self._names[id(value)]
            else:
                self._alive.append(value)  # or else another object could get its id

    def _compound(self, value: Any) -> Json:
        if isinstance(value, Tensor):
            # What a computation left behind stands in a graph that is gone with its process.
            return {**self.tensor(value), "requires_grad": value.requires_grad and value.is_leaf}
        if isinstance(value, np.ndarray) and value.dtype != object:
            content = digest(np.ascontiguousarray(value).tobytes())
            return {"array": str(value.dtype), "shape": list(value.shape), "bytes": content}
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return {"method": self.of(value.__func__), "of": self.of(value.__self__)}
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            held = None if isinstance(owner, types.ModuleType) else self.of(owner)
            return {"function": f"{value.__module__}:{value.__qualname__}", "of": held}
        if isinstance(value, functools.partial):
            parts = [value.func, value.args, value.keywords]
            return {"partial": [self.of(part) for part in parts]}
        if isinstance(value, weakref.ref):
            return {"weak": self.of(value())}
        if type(value).__module__.startswith("omegaconf."):
            return self._omegaconf(value)
        if isinstance(value, nn.Module):
            return {"class": class_name(type(value)), "inside": fingerprint(value)}
        told: dict[str, Json] = {"class": class_name(type(value))}
        if isinstance(value, dict | types.MappingProxyType):
            told["items"] = [[self.of(k), self.of(v)] for k, v in value.items()]
        elif isinstance(value, list | tuple | collections.deque):
            told["items"] = [self.of(item) for item in value]
        elif isinstance(value, set | frozenset):
            told["items"] = sorted((self.of(item) for item in value), key=str)
        return {**told, **self._state(value)}

    def _state(self, value: Any) -> dict[str, Json]:
        """Return an object's attributes; of one that has none, what pickle would keep."""
        slots = {
            name: getattr(value, name)
            for cls in type(value).__mro__
            for name in _slot_names(cls)
            if hasattr(value, name)
        }
        attributes = {**getattr(value, "__dict__", {}), **slots}
        attributes.pop("__orig_class__", None)  # a note of typing's, for nobody's use
        if attributes or dataclasses.is_dataclass(value):
            return {"attributes": {name: self.of(v) for name, v in sorted(attributes.items())}}
        if isinstance(value, dict | list | tuple | set | frozenset | collections.deque):
            return {}
        if type(value).__reduce_ex__ is not object.__reduce_ex__ or hasattr(value, "__getstate__"):
            try:
                return {"reduced": self.of(list(value.__reduce_ex__(2)[:3]))}
            except Exception:  # noqa: BLE001 - then its class is all there is to tell
                return {}
        return {}

    def _omegaconf(self, value: Any) -> Json:
        """Return a config by what it says; its caches depend on who has read it."""
        from omegaconf import OmegaConf

        said = OmegaConf.to_container(value, resolve=False)
        return {"class": class_name(type(value)), "says": self.of(said)}

    def _function(self, function: types.FunctionType) -> Json:
        code = function.__code__
        cells = [_cell(cell) for cell in function.__closure__ or ()]
        return {
            "function": f"{_module_name(function)}:{function.__qualname__}",
            "code": digest(code.co_code + repr((code.co_names, code.co_varnames)).encode()),
            "defaults": [self.of(function.__defaults__), self.of(function.__kwdefaults__)],
            "closure": [self.of(content) for content in cells],
        }


_PLAIN = (bool, int, str)
_ANNOTATIONS = (types.GenericAlias, types.UnionType)
_VALUES = (
    tuple,
    frozenset,
    functools.partial,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    weakref.ref,
)


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return "empty cell"


def _slot_names(cls: type) -> list[str]:
    names = vars(cls).get("__slots__", ())
    names = [names] if isinstance(names, str) else list(names)
    return [n for n in names if n not in ("__dict__", "__weakref__")]


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.numel() == 0:
        return b""
    # The stride of a single element can be anything, also after contiguous().
    return flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy().tobytes()
