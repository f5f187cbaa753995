"""What a checkpoint may construct or refer to. Everything else raises UntrustedCheckpointError.

``docs/trust.md`` lists it for people. A checkpoint is data from somebody else. Rebuilding it may

* construct classes that are subclasses of ``torch.nn.Module`` and installed or importable here,
  of torch's own only those of `TORCH_HOMES`;
* refer to functions of `TRUSTED_FUNCTIONS` and of torch's functional namespaces, to those of the
  user's own packages that the model's classes come from, and of an installed package to those of
  the very files that its classes come from: the rest of it may read, write and download;
* rebuild plain objects (configs, named tuples, enums) of the model's packages, attribute by
  attribute, without calling anything.

What a name leads to must be trusted under its own name as well: a file that says ``from os import
system`` does not make ``os.system`` a function of its own.

``trust=`` of the loading functions adds packages; ``TRACKER_TRUSTED_PACKAGES`` narrows the whole.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import NoReturn

from tracker import settings
from tracker.architecture.source import is_first_party_module
from tracker.errors import InvalidArgumentError, UntrustedCheckpointError

TORCH_HOMES = (
    "torch.nn",
    "torch.ao.nn",
    "torch.ao.quantization.fake_quantize",
    "torch.ao.quantization.observer",
    "torch.ao.quantization.stubs",
    "torch.distributions",
    "torch.optim.swa_utils",
)
"""Where in torch the classes of models are. Others (torch.jit, torch.fx, torch.hub, torch._dynamo,
torch.distributed) compile, fetch or run what they are given."""

FUNCTIONAL_MODULES = frozenset(
    {
        "torch.nn.functional",
        "torch._C._nn",
        "torch.nn.init",
        "torch.special",
        "torch.fft",
        "torch.linalg",
        "math",
    }
)
"""Modules of which every public function is a computation on its arguments."""

TRUSTED_FUNCTIONS = frozenset(
    f"torch:{name}"
    for name in (
        "abs add addmm amax amin angle arange argmax argmin asin atan atan2 baddbmm bmm cat "
        "ceil celu celu_ chunk clamp clone complex concat concatenate conj cos cosh cross "
        "cumsum cumprod diff div dot dropout einsum empty empty_like eq erf erfc exp expm1 "
        "eye flatten flip floor floor_divide frac full full_like gather ge gt hardshrink "
        "hstack imag index_select inner isfinite isinf isnan kron layer_norm le lerp linspace "
        "log log10 log1p log2 log_softmax logaddexp logical_and logical_not logical_or logit "
        "logspace logsumexp lt masked_fill masked_select matmul max maximum mean median min "
        "minimum mm mul multiply mv nan_to_num ne neg negative norm ones ones_like outer "
        "permute pow prelu prod quantile rand rand_like randn randn_like real reciprocal relu "
        "relu_ remainder reshape roll rot90 round rrelu rsqrt rsub scatter selu selu_ sgn "
        "sigmoid sign sin sinc sinh softmax sort split sqrt square squeeze stack std sub "
        "subtract sum swapaxes t take tan tanh tensordot threshold tile topk trace transpose "
        "tril triu true_divide trunc unsqueeze var vstack where xlogy zeros zeros_like"
    ).split()
) | frozenset(
    [
        *(f"operator:{n}" for n in "add sub mul truediv matmul neg pow mod floordiv".split()),
        *(f"torchmetrics.utilities.data:dim_zero_{n}" for n in "cat max mean min sum".split()),
        "torchmetrics.metric:jit_distributed_available",
    ]
)
"""Functions of namespaces that also hold unsafe ones, named one by one."""

_MODULE_NAME = re.compile(r"\w[\w+ -]*")
"""Part of a module's name; a script's file name need not be an identifier: ``train-small.py``."""

MAX_REFERENCE = 1000
"""Characters of the name of a class or function; nobody has longer ones."""

TORCH_FUNCTION_HOMES = ("torch.nn.modules", "torch.nn.utils")
"""Where in torch functions, methods and plain classes are that models hold. Those whose names begin
with ``register_`` change every module of the process."""

TORCH_OBJECT_HOMES = ("torch.nn", "torch.distributions")
"""Where in torch the classes of plain objects are that models hold."""

TRUSTED_OBJECTS = frozenset(
    f"{fabric}.utilities.data:AttributeDict" for fabric in ("lightning.fabric", "lightning_fabric")
)
"""Classes of other libraries whose objects only hold values: the dict that every LightningModule
keeps its hyperparameters in."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What one loading call allows beyond the fixed lists.

    Attributes:
        packages: Top-level packages whose functions and objects may be referred to.
        source: Whether the checkpoint's archived source may run.
        only: If not None, the only packages (beside torch) that may be named at all.
        modules: Modules of installed packages that the model's classes come from: their functions
            may be referred to, and plain objects of their packages rebuilt.
        named: The packages that the caller named: functions of theirs may be called to make models.
    """

    packages: frozenset[str] = field(default_factory=frozenset)
    source: bool = False
    only: frozenset[str] | None = None
    modules: frozenset[str] = field(default_factory=frozenset)
    named: frozenset[str] = field(default_factory=frozenset)

    def extended(self, modules: Iterable[str]) -> Trust:
        """Return this trust with the modules of the model's own classes added."""
        own = frozenset(name for name in modules if _is_own(name))
        first_party = frozenset(name.split(".")[0] for name in own if is_first_party_module(name))
        return replace(self, packages=self.packages | first_party, modules=self.modules | own)


def parse_trust(trust: str | Collection[str] | None) -> Trust:
    """Return the Trust meant by the ``trust=`` argument of the loading functions.

    Args:
        trust: None, ``"source"``, a package name, or several of these.

    Raises:
        InvalidArgumentError: An entry is not a package name.
    """
    if not isinstance(trust or (), Collection):
        raise InvalidArgumentError(f"trust={trust!r}: expected 'source' or the names of packages.")
    entries = [trust] if isinstance(trust, str) else list(trust or ())
    for entry in entries:
        if not isinstance(entry, str) or not entry.replace(".", "_").isidentifier():
            raise InvalidArgumentError(
                f"trust={trust!r}: expected 'source' or the names of packages, found {entry!r}."
            )
    packages = frozenset(entry.split(".")[0] for entry in entries if entry != "source")
    only = settings.trusted_packages()
    return Trust(packages, "source" in entries, only, named=packages)


def _is_own(module: str) -> bool:
    package = module.split(".")[0]
    return package == "__main__" or package not in sys.stdlib_module_names | {"torch"}


def check_module_name(reference: str, path: str, trust: Trust) -> None:
    """Refuse, before anything is imported, a name that no model can refer to.

    Raises:
        UntrustedCheckpointError: Names ``path`` in the manifest and the reference.
    """
    if len(reference) > MAX_REFERENCE:
        refuse(path, reference, "it is too long for a name")
    module, _, qualname = reference.partition(":")
    if is_fixed_function(reference):
        return
    parts = module.split(".")
    if module != "__main__" and (
        "__main__" in parts or not all(map(_MODULE_NAME.fullmatch, parts))
    ):
        refuse(path, reference, "that is not the name of a module with classes")
    if not all(name.isidentifier() for name in qualname.split(".")):
        refuse(path, reference, "it is not the name of a class or function")
    if any(name.startswith("__") and name.endswith("__") for name in qualname.split(".")):
        refuse(path, reference, "it is a name that Python reserves for itself")
    package = module.split(".")[0]
    if package in sys.stdlib_module_names and module != "__main__":
        refuse(path, reference, "the standard library holds no model classes")
    if package == "torch" and not _is_inside(module, TORCH_HOMES) and reference != "torch:Tensor":
        refuse(path, reference, "torch keeps no model classes there, but code that runs code")
    check_narrowed(reference, path, trust)


def _is_inside(module: str, homes: Iterable[str]) -> bool:
    return any(module == home or module.startswith(home + ".") for home in homes)


def check_narrowed(reference: str, path: str, trust: Trust) -> None:
    """Refuse packages outside ``TRACKER_TRUSTED_PACKAGES``, where that is set."""
    if not is_listed(reference.partition(":")[0], trust):
        refuse(path, reference, "TRACKER_TRUSTED_PACKAGES does not list its package")


def is_listed(module: str, trust: Trust) -> bool:
    """Return whether ``TRACKER_TRUSTED_PACKAGES``, where it is set, lists a module's package."""
    return trust.only is None or module.split(".")[0] in trust.only | {"torch"}


def is_fixed_function(reference: str) -> bool:
    """Return whether a reference is of the fixed lists of computations."""
    module, _, qualname = reference.partition(":")
    if reference in TRUSTED_FUNCTIONS:
        return True
    return module in FUNCTIONAL_MODULES and not qualname.startswith("_") and "." not in qualname


def is_trusted_function(reference: str, trust: Trust) -> bool:
    """Return whether a checkpoint may refer to this function, or to this class to be called."""
    module, _, qualname = reference.partition(":")
    if _is_inside(module, TORCH_FUNCTION_HOMES):
        return not qualname.startswith("register_")
    return (
        is_fixed_function(reference)
        or module.split(".")[0] in trust.packages
        or module in trust.modules
    )


def is_trusted_object(reference: str, trust: Trust) -> bool:
    """Return whether a checkpoint may rebuild an object of this class, without calling it."""
    module = reference.partition(":")[0]
    package = module.split(".")[0]
    return (
        _is_inside(module, TORCH_OBJECT_HOMES)
        or reference in TRUSTED_OBJECTS
        or package in trust.packages
        or package in {name.split(".")[0] for name in trust.modules}
    )


def refuse(path: str, reference: str, reason: str) -> NoReturn:
    """Raise UntrustedCheckpointError for ``reference``, found at ``path`` of the manifest."""
    package = reference[:MAX_REFERENCE].partition(":")[0].split(".")[0]
    shown = repr(reference[:MAX_REFERENCE]) + "…" * (len(reference) > MAX_REFERENCE)
    text = f"{path}: the checkpoint refers to {shown}, which loading does not allow: {reason}."
    if package.isidentifier() and _is_own(package):
        text += f" If you trust where it comes from, name the package: trust={package!r}."
    raise UntrustedCheckpointError(text)
