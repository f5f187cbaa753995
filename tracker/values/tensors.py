"""A table of tensors under unique names, filled while a nested value is encoded."""

from __future__ import annotations

import torch
from torch import Tensor

from tracker.errors import UnstorableError
from tracker.values.spread import is_spread


class TensorTable:
    """Collects tensors under names; the same tensor object gets the same name again.

    Args:
        check: Refuse tensors that can't be stored. False for a model on the meta device.

    Example:
        >>> table = TensorTable()
        >>> table.add(torch.zeros(2), "optimizer.state.0.exp_avg")
        'optimizer.state.0.exp_avg'
    """

    def __init__(self, *, check: bool = True) -> None:
        self._check = check
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()

    def add(self, tensor: Tensor, path: str) -> str:
        """Return the name under which ``tensor`` is kept: ``path``, made unique if taken.

        Raises:
            UnstorableError: The tensor has no plain bytes (sparse, meta, quantised, …).
        """
        known = self._names.get(id(tensor))
        if known is not None:
            return known
        if self._check:
            check_storable(tensor, path)
        name = self.reserve(tensor, path)
        self.tensors[name] = tensor
        return name

    def reserve(self, tensor: Tensor, path: str) -> str:
        """Return a name as `add` does, for a tensor whose bytes are not kept."""
        known = self._names.get(id(tensor))
        if known is not None:
            return known
        name, count = path, 1
        while name in self._taken:
            count += 1
            name = f"{path}#{count}"
        self._taken.add(name)
        self._names[id(tensor)] = name
        return name


def check_storable(tensor: Tensor, path: str) -> None:
    """Raise UnstorableError, naming ``path``, unless the tensor is plain strided memory."""
    if torch.nn.parameter.is_lazy(tensor):
        raise UnstorableError(
            path,
            "is an uninitialised parameter of a lazy module, so it has no values yet; "
            "run one forward pass before logging the checkpoint.",
        )
    if tensor.is_nested:
        raise UnstorableError(
            path, "is a nested tensor; keep it as a list of tensors, or padded with its lengths."
        )
    if tensor.layout != torch.strided:
        raise UnstorableError(
            path,
            f"is a tensor of layout {tensor.layout}; a checkpoint holds dense tensors. "
            "Keep it as dense (tensor.to_dense()) or as its indices and values.",
        )
    if tensor.is_meta:
        raise UnstorableError(
            path,
            "is on the meta device and has no values; materialise the model before logging it.",
        )
    if tensor.is_quantized:
        raise UnstorableError(
            path,
            f"is a quantised tensor ({tensor.dtype}); store tensor.int_repr() with its scale and "
            "zero point as buffers instead.",
        )
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__ and not is_spread(tensor):
        raise UnstorableError(
            path,
            f"is a {type(tensor).__name__}, a tensor subclass without bytes of its own; "
            "convert it to a plain tensor before logging (for example with .full_tensor()).",
        )
