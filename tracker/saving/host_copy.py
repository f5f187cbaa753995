"""Copies all tensors of a snapshot to host memory, at one instant.

What training does afterwards, in place, on another thread or on another stream, can't reach the
copy. It lies in one slab of memory, which is kept for the next checkpoint: fresh memory costs
several times a copy, because the system hands it out page by page.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tracker.format.dtypes import BY_TORCH, stored_dtype
from tracker.saving.snapshot import Snapshot

ALIGNMENT = 64
"""Bytes; a cache line, and what torch's own allocator gives."""

_PLAIN = (Tensor, nn.Parameter)

_REMEMBERED = 8
"""Checkpoints after which memory that none of them needed is given back to the system."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each tensor of a snapshot goes.

    Attributes:
        tensors: Each tensor object once, however many names it has.
        offsets: Where its copy begins, in the same order.
        size: Bytes of all of them.
    """

    tensors: tuple[Tensor, ...]
    offsets: tuple[int, ...]
    size: int


class Pool:
    """The slabs of this process: those in use, and those kept for the next checkpoint.

    It never holds more than was in use at once during the last few checkpoints, so the memory of a
    large model does not stay when smaller ones follow.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._free: list[Tensor] = []
        self._in_use = 0
        self._needed: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def size(self) -> int:
        """Bytes that it holds, in use or not."""
        return self._in_use + sum(slab.numel() for slab in self._free)

    def take(self, size: int, *, pinned: bool = False) -> Tensor:
        """Return a slab of at least ``size`` bytes."""
        with self._lock:
            size = _aligned(size)
            self._needed.append(self._in_use + size)
            fitting = [s for s in self._free if s.numel() >= size and s.is_pinned() == pinned]
            if fitting:
                slab = min(fitting, key=Tensor.numel)
                self._free = [s for s in self._free if s is not slab]
            else:
                # First, so that the memory of both is never held at once.
                self._free = []
                slab = torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=pinned)
            self._in_use += slab.numel()
            return slab

    def give_back(self, slab: Tensor) -> None:
        """Keep a slab for the next checkpoint, as far as recent ones needed that much."""
        with self._lock:
            self._in_use -= slab.numel()
            self._free.append(slab)
            while self._free and self.size > max(self._needed):
                self._free.pop(0)

    def clear(self) -> None:
        """Give the memory that is not in use back to the system."""
        with self._lock:
            self._free = []


def plan(snapshot: Snapshot) -> Plan:
    """Lay out a copy of a snapshot's tensors.

    Raises:
        UnstorableError: A tensor has no place in the format; names it.
    """
    seen: dict[int, Tensor] = {}
    offsets: list[int] = []
    end = 0
    for named in _groups(snapshot):
        for name, tensor in named.items():
            if id(tensor) not in seen:
                if tensor.dtype not in BY_TORCH or tensor.is_nested:
                    stored_dtype(tensor, name)  # says what is wrong
                seen[id(tensor)] = tensor
                offsets.append(end)
                end += _aligned(tensor.numel() * tensor.element_size())
    return Plan(tuple(seen.values()), tuple(offsets), end)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def copy(snapshot: Snapshot, plan: Plan, pool: Pool, until: ExitStack) -> Snapshot:
    """Return the snapshot with a copy of every tensor; all are complete when this returns.

    Tensors that were one object are one object again; views of one storage become tensors of
    their own, which is how the format stores them.

    Args:
        snapshot: Of the live objects.
        plan: Of this snapshot.
        pool: Where the memory comes from.
        until: Gives it back when closed.
    """
    pinned = any(tensor.is_cuda for tensor in plan.tensors)
    slab = pool.take(plan.size, pinned=pinned)
    until.callback(pool.give_back, slab)
    return _with_copies(snapshot, plan, _copy(plan, slab))


def _groups(snapshot: Snapshot) -> tuple[Mapping[str, Tensor], ...]:
    # An example's tensors are copies already, which nobody else has.
    description = snapshot.description
    boxes = {f"{n} {box.name}": box.tensor for n, (_, box) in enumerate(snapshot.boxes)}
    return description.state, description.extra, snapshot.training_tensors, boxes


def _with_copies(snapshot: Snapshot, plan: Plan, copies: list[Tensor]) -> Snapshot:
    copy_of = {id(tensor): copied for tensor, copied in zip(plan.tensors, copies, strict=True)}
    state, extra, training, boxes = (
        {name: copy_of[id(tensor)] for name, tensor in named.items()} for named in _groups(snapshot)
    )
    return replace(
        snapshot,
        description=replace(snapshot.description, state=state, extra=extra),
        training_tensors=training,
        boxes=tuple(
            (group, replace(box, tensor=copied))
            for (group, box), copied in zip(snapshot.boxes, boxes.values(), strict=True)
        ),
    )


def _copy(plan: Plan, slab: Tensor) -> list[Tensor]:
    typed = {dtype: slab.view(dtype) for dtype in {tensor.dtype for tensor in plan.tensors}}
    streams: dict[torch.device, torch.cuda.Stream] = {}
    copies: list[Tensor] = []
    try:
        with torch.no_grad(), _fork_safe():
            for tensor, offset in zip(plan.tensors, plan.offsets, strict=True):
                start = offset // tensor.element_size()
                slots = typed[tensor.dtype]
                copies.append(slots.as_strided(tensor.shape, _strides(tensor), start))
                _copy_into(copies[-1], tensor, streams)
    finally:
        # Also when it was interrupted: the slab must not be used again before.
        for stream in streams.values():
            stream.synchronize()
    return copies


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """Return the strides of a tensor's contiguous copy."""
    if tensor.is_contiguous():
        return tensor.stride()
    return tuple(math.prod(tensor.shape[axis + 1 :]) for axis in range(tensor.dim()))


def _copy_into(
    copied: Tensor, tensor: Tensor, streams: dict[torch.device, torch.cuda.Stream]
) -> None:
    # A subclass might see to its copying itself.
    plain = tensor if type(tensor) in _PLAIN else tensor.detach().as_subclass(Tensor)
    if tensor.is_cuda:
        with torch.cuda.stream(_stream(tensor.device, streams)):
            copied.copy_(plain, non_blocking=True)
    else:
        copied.copy_(plain)


@contextmanager
def _fork_safe() -> Iterator[None]:
    """Copy with one thread in a forked child, which has none of the threads that torch started."""
    threads = torch.get_num_threads()
    if _is_forked:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if _is_forked:
            torch.set_num_threads(threads)


def _stream(
    device: torch.device, streams: dict[torch.device, torch.cuda.Stream]
) -> torch.cuda.Stream:
    """Return the stream that copies from a device, after what training has queued there so far."""
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        streams[device].wait_stream(torch.cuda.current_stream(device))
    return streams[device]


_pool = Pool()
_is_forked = False


def pool() -> Pool:
    """Return the pool of this process."""
    return _pool


def _after_fork() -> None:
    global _pool, _is_forked
    _pool, _is_forked = Pool(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
