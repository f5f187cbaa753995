"""Programs of ``torch.jit``, which are no modules that could be rebuilt.

They are stored in torch's own format, and only where the user says so: the file is a program in a
language of torch's, and its reader is torch's too. So loading one must be asked for as well.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.describe import Description
from tracker.architecture.trust import Trust
from tracker.errors import (
    ArchitectureError,
    InvalidArgumentError,
    UnstorableError,
    UntrustedCheckpointError,
)
from tracker.types import Architecture

SCRIPT_FILE = "model.torchscript"
TRUST = "torchscript"
MAX_SCRIPT = 1 << 28
"""Bytes of a program with its weights, at most: it is written and read in one piece."""


def is_script(model: nn.Module) -> bool:
    """Return whether a model is a program of ``torch.jit``."""
    return isinstance(model, torch.jit.ScriptModule)


def describe_script(model: nn.Module) -> tuple[Description, bytes]:
    """Return what is stored of a program beside its file, and the file.

    Raises:
        InvalidArgumentError: It can't be saved, or is too large.
        UnstorableError: Something else than tensors is in its state_dict.
    """
    state = model.state_dict(keep_vars=True)
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UnstorableError(key, f"is a {type(value).__name__} of a TorchScript module.")
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(model, buffer)
    except RuntimeError as error:
        raise InvalidArgumentError(f"torch.jit can't save the model: {error}") from error
    if buffer.tell() > MAX_SCRIPT:
        raise InvalidArgumentError(
            f"The TorchScript file has {buffer.tell()} bytes; at most {MAX_SCRIPT} are stored. Log "
            "the module that it was scripted from."
        )
    name = getattr(model, "original_name", type(model).__name__)
    architecture = Architecture(
        rebuild="torchscript", model_class=f"torchscript:{name}", model_text=f"{name} (TorchScript)"
    )
    return Description(architecture, state, {}, {}, frozenset()), buffer.getvalue()


def load_script(data: bytes, trust: Trust, device: torch.device) -> nn.Module:
    """Return the program of a file.

    Raises:
        UntrustedCheckpointError: ``trust`` does not say that it may be loaded.
        ArchitectureError: Torch can't read it.
    """
    if TRUST not in trust.named:
        raise UntrustedCheckpointError(
            "The checkpoint is a TorchScript program, which torch reads and runs by its own rules. "
            f"If you trust where it comes from, pass trust={TRUST!r}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            read: Any = torch.jit.load
            model: nn.Module = read(io.BytesIO(data), map_location=device)
    except RuntimeError as error:
        raise ArchitectureError(f"torch.jit can't read the program: {error}") from error
    return model
