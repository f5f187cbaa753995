"""Models whose classes live in the ``__main__`` of a training script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from corpus.case import Case, floats


def _main() -> Any:
    """Return the running script, `corpus.training_script` under the name ``__main__``."""
    return sys.modules["__main__"]


def _configured() -> nn.Module:
    script = _main()
    shape = script.Shape(hidden=8)
    made: nn.Module = script.Configured(script.Config(shape, script.Kind.RESIDUAL, "tanh"))
    return made


MODELS: dict[str, Callable[[], nn.Module]] = {
    "one block": lambda: _main().Block(4),
    "its own function as an argument": lambda: _main().Block(act=_main().squared),
    "its own dataclass, enum and named tuple": _configured,
    "lambda made in __init__": lambda: _main().WithLambda(0.5),
    "derived, with a nested class": lambda: _main().Derived(3, depth=2),
    "blocks in a Sequential": lambda: nn.Sequential(_main().Block(), nn.ReLU(), _main().Block()),
}


def cases() -> Iterator[Case]:
    for name, make in MODELS.items():
        yield Case(name, make, floats(2, 4))
