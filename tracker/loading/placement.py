"""Where loaded tensors go and as what: the devices and dtypes that a caller may name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tracker.errors import InvalidArgumentError


def check_device(device: str | torch.device) -> torch.device:
    """Return the device that is meant, made sure to be there.

    Raises:
        InvalidArgumentError: There is no such device; lists those that there are.
    """
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InvalidArgumentError(
            f"device={device!r} can't be used here: {reason}. Devices of this machine: "
            f"{', '.join(_devices())}."
        ) from error
    return target


def _devices() -> list[str]:
    names = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        count = torch.accelerator.device_count()
        names += [f"{kind}:{index}" for index in range(count)]
    return names


def check_dtype(dtype: Any) -> torch.dtype | None:
    """Return the dtype that floating-point tensors are to have; None leaves them as they are.

    Raises:
        InvalidArgumentError: It is no floating-point dtype of torch's.
    """
    if dtype is None:
        return None
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidArgumentError(
            f"dtype={dtype!r}: expected a floating-point dtype such as torch.bfloat16, or None; "
            "whole numbers keep theirs."
        )
    try:
        torch.zeros(1).to(dtype)
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidArgumentError(f"dtype={dtype}: torch can't convert to it: {error}") from error
    return dtype


def placed(tensor: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor on a device, in ``dtype`` if it holds floating-point numbers."""
    return tensor.to(device, dtype if dtype is not None and tensor.is_floating_point() else None)
