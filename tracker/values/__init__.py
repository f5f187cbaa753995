"""Plain values and tensors as typed JSON, and back: what the format stores instead of a pickle.

``encode`` turns a value into JSON, ``decode`` turns it back into an equal value of the same type.
``encode`` hands tensors to the caller, who stores them elsewhere and leaves a name; ``decode`` asks
the caller for the tensor of a name. What is not plain (classes, functions, modules, objects) goes
to the caller's ``special`` hook: the architecture room has one, training state has none.

The JSON is explained in ``docs/format.md``, section "Values".
"""

from tracker.values.codec import MAX_DEPTH, decode, encode
from tracker.values.spread import is_spread
from tracker.values.tensors import TensorTable

__all__ = ["MAX_DEPTH", "TensorTable", "decode", "encode", "is_spread"]
