"""The random numbers that training draws: the global generators of Python, NumPy and torch.

The states of CUDA's generators are known to the host, so asking for them waits for no device; and
who has not used CUDA so far is not made to.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import Tensor

from tracker.errors import FormatError
from tracker.training.generators import pack, unpack
from tracker.training.world import world_size

State = dict[str, Any]
"""By source, ``python``, ``numpy``, ``torch`` and ``cuda``: its state.

NumPy is left out where it is not imported, CUDA where it was not used.
"""


def capture() -> State:
    """Return the state of every global generator of this process.

    Example:
        >>> capture().keys()
        dict_keys(['numpy', 'python', 'torch'])
    """
    state: State = {"python": pack(random.getstate()), "torch": torch.get_rng_state()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        state["numpy"] = numpy.random.get_state(legacy=False)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    return dict(sorted(state.items()))


def capture_everywhere() -> list[State]:
    """Return what `capture` returns in every process, by rank; all of them must call this."""
    own = capture()
    if world_size() == 1:
        return [own]
    states: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(states, _without_tensors(own))
    return [_with_tensors(state) for state in states]


class _WasTensor(NamedTuple):
    """A tensor on its way: torch's own pickling of these, between processes, fails at times."""

    array: Any


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _WasTensor(value.cpu().numpy())
    return _inside(value, _without_tensors)


def _with_tensors(value: Any) -> Any:
    if isinstance(value, _WasTensor):
        return torch.from_numpy(value.array.copy())
    return _inside(value, _with_tensors)


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    return type(value)(map(change, value)) if type(value) in (list, tuple) else value


def check(state: Any) -> list[str]:
    """Return why parts of a state can't be restored here, a sentence each; nothing is changed.

    Raises:
        FormatError: It is not what `capture` returned.
    """
    if not isinstance(state, Mapping) or not {"python", "torch"} <= state.keys():
        raise FormatError("training.random: expected the states of Python's and torch's generator.")
    try:
        random.Random().setstate(unpack(state["python"]))
        torch.Generator().set_state(state["torch"])
        if "numpy" in state:
            _check_numpy(state["numpy"])
        for each in state.get("cuda", ()):
            if each.dtype != torch.uint8:
                raise TypeError(f"a state of CUDA holds {each.dtype}")
    except ImportError:
        return [
            *_cuda_missing(state),
            "NumPy is not installed here: its numbers do not go on.",
        ]
    except _MALFORMED as error:
        raise FormatError(f"training.random: can't be read: {error}") from error
    return _cuda_missing(state)


_MALFORMED = (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError)


def _check_numpy(state: Mapping[str, Any]) -> None:
    import numpy

    kind = getattr(numpy.random, str(state["bit_generator"]), None)
    if not isinstance(kind, type) or not issubclass(kind, numpy.random.BitGenerator):
        raise ValueError(f"NumPy has no generator {state['bit_generator']!r}")
    numpy.random.RandomState(kind()).set_state(dict(state))


def _cuda_missing(state: Mapping[str, Any]) -> list[str]:
    there, here = len(state.get("cuda", ())), torch.cuda.device_count()
    if there == 0 or there == here:
        return []
    return [
        f"The checkpoint has the random states of {there} CUDA devices, and this machine has "
        f"{here}: {'those that are here get theirs' if here else 'none is restored'}."
    ]


def restore(state: Mapping[str, Any]) -> None:
    """Put the global generators into a state that was checked.

    What is not in it is left alone, as are devices of CUDA that are not here.
    """
    if "python" in state:
        random.setstate(unpack(state["python"]))
    if "torch" in state:
        torch.set_rng_state(state["torch"])
    if "numpy" in state:
        with contextlib.suppress(ImportError):
            import numpy

            _set_numpy(numpy, state["numpy"])
    for index, each in enumerate(state.get("cuda", ())[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(each, index)


def _set_numpy(numpy: Any, state: Mapping[str, Any]) -> None:
    # Of another kind than the one in force: np.random.set_bit_generator was called by one of them.
    if numpy.random.get_state(legacy=False)["bit_generator"] != state["bit_generator"]:
        numpy.random.set_bit_generator(getattr(numpy.random, state["bit_generator"])())
    numpy.random.set_state(dict(state))


class GlobalRandomState:
    """The global generators as one object with a state."""

    def state_dict(self) -> State:
        """Return `capture`."""
        return capture()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Call `restore`."""
        restore(state)


@contextlib.contextmanager
def unchanged(when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Put the global generators back when the block is left.

    Args:
        when: Asked at the end; False leaves them as the block has left them.
    """
    before = capture()
    try:
        yield
    finally:
        if when():
            restore(before)
