"""Tensors that are spread over the processes of ``torch.distributed``: DTensors.

What each process holds of one is the business of `tracker.distributed`. Here they are only told
from others, without importing what a process that has none does not need.
"""

from __future__ import annotations

import sys
from typing import Any

_MODULE = "torch.distributed.tensor"


def is_spread(value: object) -> bool:
    """Return whether a value is a DTensor, as ``fully_shard`` and ``parallelize_module`` make them.

    Example:
        >>> is_spread(torch.zeros(2))
        False
    """
    # Where nobody has imported the module, there is none.
    loaded: Any = sys.modules.get(_MODULE)
    return loaded is not None and isinstance(value, loaded.DTensor)
