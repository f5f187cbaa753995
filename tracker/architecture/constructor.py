"""Describes a model as the call that constructed it, and constructs it again.

The description is a list of calls: the model's own, and those of modules among its arguments, each
``{"class", "args", "kwargs"}`` with values as `writer` writes them. A module that was passed twice
is one entry, so it is one module again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from tracker.architecture.containers import Sharing
from tracker.architecture.imports import Imports
from tracker.architecture.observe import observed_call
from tracker.architecture.quiet import WithoutInitialising, quietly
from tracker.architecture.reader import Reader, malformed
from tracker.architecture.references import NotReferableError, reference
from tracker.architecture.structure import Tree
from tracker.architecture.writer import Writer
from tracker.errors import ConstructorError, FormatError, TrackerError
from tracker.types import Json, Problem

Device: TypeAlias = Literal["meta", "cpu"]

NOISY = "its constructor needs the network, files or programs, so it runs only if you say so"


def describe_call(model: nn.Module, tree: Tree) -> tuple[Json, list[Problem]]:
    """Return the calls that construct ``model``, or None with what stood in the way.

    Args:
        model: The live model.
        tree: Its structure; tensors among the arguments get their slots there.
    """
    sharing = Sharing()
    while True:
        describer = _CallDescriber(tree, sharing)
        description = describer.describe(model)
        following = sharing.next_pass()
        if following is None:
            return (None if describer.problems else description), describer.problems
        sharing = following


class _CallDescriber:
    """The state of one description: the calls met so far."""

    def __init__(self, tree: Tree, sharing: Sharing) -> None:
        self._calls: list[Json] = []
        self._indices: dict[int, int] = {}
        self._writer = Writer(self._module, tree.slot, sharing)

    @property
    def problems(self) -> list[Problem]:
        return self._writer.problems

    def describe(self, model: nn.Module) -> Json:
        self._index(model, "")
        return {"modules": self._calls, "objects": self._writer.objects}

    def _module(self, module: nn.Module, path: str) -> Json:
        return {"$module": self._index(module, path)}

    def _index(self, module: nn.Module, path: str) -> int:
        if id(module) in self._indices:
            return self._indices[id(module)]
        index = self._indices[id(module)] = len(self._calls)
        self._calls.append(None)
        call = observed_call(module)
        shown = path or type(module).__qualname__
        if call is None:
            self.problems.append(
                Problem(
                    shown,
                    f"{shown}: its construction was not observed (it was made before tracker was "
                    "imported, or it is a copy or an unpickled object). Put `import tracker` "
                    "above the line that builds the model.",
                )
            )
            return index
        try:
            name = reference(call.cls)
        except NotReferableError as error:
            self.problems.append(
                Problem(
                    shown,
                    f"{shown}: its class {call.cls.__qualname__} can't be found by name: {error}. "
                    "Define it at the top level of a module.",
                )
            )
            return index
        self._calls[index] = {
            "class" if isinstance(call.cls, type) else "factory": name,
            "args": [self._writer.write(v, f"argument {i}") for i, v in enumerate(call.args)],
            # Pairs, not an object: the manifest sorts keys, and the order of **kwargs can matter.
            "kwargs": [[k, self._writer.write(v, f"argument {k}")] for k, v in call.kwargs.items()],
        }
        return index


def construct(
    description: Json,
    imports: Imports,
    tensor: Callable[[Json, str], Tensor],
    device: Device,
) -> nn.Module:
    """Construct the model again.

    Args:
        description: What `describe_call` returned. With ``"aloud": true`` the constructor may reach
            the network, write files and start programs.
        imports: Where classes are found, and what is trusted.
        tensor: Returns the tensor of a slot, for tensors among the arguments.
        device: ``meta`` builds without memory or initialisation; ``cpu`` as the user did.

    Raises:
        ConstructorError: The constructor raised, or tried what it may not.
        UntrustedCheckpointError: An argument refers to something that is refused.
    """
    with malformed("constructor"):
        return _Construction(description, imports, tensor, device).module(0, "constructor")


def proven_device(description: Json) -> Device:
    """Return where the constructor was proven to run."""
    device = description.get("device") if isinstance(description, dict) else None
    if device == "meta":
        return "meta"
    if device == "cpu":
        return "cpu"
    raise FormatError(f"constructor.device: expected 'meta' or 'cpu', found {device!r}.")


class _Construction:
    """The modules of one construction, made when they are first asked for."""

    def __init__(
        self,
        description: Json,
        imports: Imports,
        tensor: Callable[[Json, str], Tensor],
        device: Device,
    ) -> None:
        if not isinstance(description, dict):
            raise FormatError("constructor: the manifest holds no constructor description.")
        self._calls: Any = description.get("modules")
        self._objects: Any = description.get("objects")
        self._imports = imports
        self._tensor = tensor
        self._device = device
        self._aloud = description.get("aloud") is True
        self._made: dict[int, nn.Module | None] = {}

    def module(self, index: Json, path: str) -> nn.Module:
        if type(index) is not int or not 0 <= index < len(self._calls):
            raise FormatError(f"{path}: refers to module {index!r} of {len(self._calls)}.")
        if index in self._made:
            made = self._made[index]
            if made is None:
                raise FormatError(f"{path}: module {index} is an argument of itself.")
            return made
        self._made[index] = None
        call = self._calls[index]
        make = self._maker(call, path)
        reader = Reader(self._objects, self._imports.extended([make]), self.module, self._tensor)
        args = [reader.read(value, f"{path}.args.{i}") for i, value in enumerate(call["args"])]
        kwargs = {k: reader.read(v, f"{path}.kwargs.{k}") for k, v in call["kwargs"]}
        made = self._made[index] = self._call(make, args, kwargs)
        return made

    def _maker(self, call: Any, path: str) -> Callable[..., Any]:
        """Return what is called: the class, or the factory that stands for it."""
        if "factory" in call:
            return self._imports.factory(call["factory"], f"{path}.factory")
        cls = self._imports.module_class(call["class"], f"{path}.class")
        if self._aloud:
            self._imports.check_named(call["class"], f"{path}.class", NOISY)
        return cls

    def _call(self, make: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> nn.Module:
        made: Any = None
        refused: list[str] = []
        try:
            with (
                quietly(refuse=not self._aloud) as refused,
                torch.device(self._device),
                WithoutInitialising(),
            ):
                made = make(*args, **kwargs)
        except TrackerError:
            raise
        except (Exception, SystemExit) as error:
            # SystemExit: a constructor that parses the command line of another program.
            raise ConstructorError(
                f"Constructing {make.__qualname__} with the arguments it was logged with failed: "
                f"{type(error).__name__}: {error}",
                refused,
            ) from error
        if not isinstance(made, nn.Module):
            raise ConstructorError(f"{make.__qualname__} made a {type(made).__qualname__}.")
        return made
