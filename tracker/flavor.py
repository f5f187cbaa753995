"""Lets MLflow's own tools load a checkpoint: ``mlflow.pyfunc.load_model("models:/m-…")``.

The ``MLmodel`` file of every checkpoint names this module; MLflow calls `_load_pyfunc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tracker.format import open_checkpoint
from tracker.loading.restore import restore_model
from tracker.record.locate import locator


class TensorModel:
    """A model behind MLflow's ``predict``: arrays or data frames in, arrays out.

    Args:
        model: The rebuilt model, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the model's output for ``data`` as NumPy arrays.

        Args:
            data: A tensor, an array, a data frame of numbers, or a dict of these, which are passed
                as keyword arguments. Floats become the dtype of the model's parameters; so do
                whole numbers that the model refuses, because JSON does not tell 1.0 from 1.
            params: Not used; part of MLflow's interface.
        """
        named = isinstance(data, Mapping)
        tensors = {k: self._tensor(v) for k, v in (data if named else {"": data}).items()}
        with torch.no_grad():
            try:
                return _arrays(self._run(tensors, named))
            except (RuntimeError, TypeError):
                if all(map(torch.is_floating_point, tensors.values())):
                    raise
                floats = {k: self._as_parameters_are(v.float()) for k, v in tensors.items()}
                return _arrays(self._run(floats, named))

    def get_raw_model(self) -> nn.Module:
        """Return the ``nn.Module``; MLflow's ``get_raw_model`` asks for it."""
        return self.model

    def _tensor(self, value: Any) -> Tensor:
        tensor = value if isinstance(value, Tensor) else torch.tensor(np.asarray(value))
        return self._as_parameters_are(tensor)

    def _run(self, tensors: Mapping[str, Tensor], named: bool) -> Any:
        return self.model(**tensors) if named else self.model(*tensors.values())

    def _as_parameters_are(self, tensor: Tensor) -> Tensor:
        parameter = next(self.model.parameters(), None)
        if parameter is None:
            return tensor
        dtype = parameter.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(parameter.device, dtype)


_NOT_IN_NUMPY = frozenset({torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2})


def _arrays(output: Any) -> Any:
    if isinstance(output, Tensor):
        plain = output.detach().cpu().resolve_conj().resolve_neg()
        return plain.float().numpy() if plain.dtype in _NOT_IN_NUMPY else plain.numpy()
    if isinstance(output, Mapping):
        return {key: _arrays(value) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        return [_arrays(value) for value in output]
    return output


def _load_pyfunc(path: str) -> TensorModel:
    """Return the model of a checkpoint directory, for MLflow."""
    stored = open_checkpoint(Path(path), locate=locator(path))
    return TensorModel(restore_model(stored).model)
