"""Which checkpoints a training has under which of Ignite's file names.

Several ``Checkpoint`` handlers may save at one moment: one the best models, one the latest state.
Where nothing has changed in between they share one checkpoint, which stays as long as one of its
names does. Where something has changed, each has its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from tracker.pending import PendingCheckpoint
from tracker.record.boundary import tracking_uri
from tracker.saving.let_go import let_go_after, to_try_again
from tracker.saving.request import check_request

_RANDOM_STATES = (torch.uint8, torch.uint32)
"""The dtypes that random generators give their states in."""

_PLAIN = (type(None), bool, int, float, str, complex, bytes)

_MOST_NAMES = 1000
"""So many names a checkpoint carries along: where nothing is removed, there may be any number."""


class Place(NamedTuple):
    """What a checkpoint is found by: its run, epoch and step; the run is None until it is made."""

    run_id: str | None
    epoch: int | None
    step: int | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What is to be saved, as far as it takes to see whether it was saved already.

    Attributes:
        run_id: The run that it goes to, or None if that is yet to be made.
        epoch: The trainer's epoch; 1 is the first.
        iteration: The trainer's iteration.
        states: The states by name, as `seen` has them.
        metrics: The metrics by name, as text.
    """

    run_id: str | None
    epoch: int
    iteration: int
    states: Mapping[str, Any]
    metrics: Mapping[str, str]

    def is_covered_by(self, other: Moment) -> bool:
        """Return whether a checkpoint of the other moment holds everything that this one would."""
        return (
            self.is_same_time(other)
            and _is_part(self.states, other.states)
            and _is_part(self.metrics, other.metrics)
        )

    def is_same_time(self, other: Moment) -> bool:
        """Return whether training has not gone on from one to the other."""
        return (self.run_id, self.epoch, self.iteration) == (
            other.run_id,
            other.epoch,
            other.iteration,
        )


class Journal:
    """What was saved in one training, by file name.

    Attributes:
        files: The places of the checkpoints that Ignite's handlers keep, by file name.
        newest: The checkpoint that was logged last, or None.
    """

    def __init__(self) -> None:
        self.files: dict[str, Place] = {}
        self.newest: PendingCheckpoint | None = None
        self._savers = 0
        self._unwanted: list[Place] = []
        self._last: tuple[Moment, Place] | None = None
        self._taken: set[Place] = set()
        self._tried: dict[str, Place] = {}
        self._outcomes: list[Future[list[str]]] = []

    def count_saver(self) -> int:
        """Return the number of one more saver of this training, in the order they are made."""
        self._savers += 1
        return self._savers

    def find(self, moment: Moment) -> Place | None:
        """Return where the last checkpoint is, if it holds what is to be saved; else None."""
        if self._last is not None and moment.is_covered_by(self._last[0]):
            return self._last[1]
        return None

    def free_place(self, moment: Moment, *, at_the_end_of_an_epoch: bool) -> Place:
        """Return where to save: the epoch, and within one the step, too.

        Another checkpoint of the same moment differs from the first by having the step as well.
        """
        run, epoch, step = moment.run_id, moment.epoch, moment.iteration
        forms = [Place(run, epoch, step), Place(run, None, step)]
        if at_the_end_of_an_epoch:
            forms.insert(0, Place(run, epoch, None))
        if self._last is None or not moment.is_same_time(self._last[0]):
            self._taken = set()
        return next((form for form in forms if form not in self._taken), forms[0])

    def enter(self, moment: Moment, place: Place) -> None:
        """Note that a checkpoint was logged."""
        self._last = moment, place
        self._taken.add(place)

    def name(self, filename: str, place: Place) -> None:
        """Give a checkpoint a name; what had it before loses it."""
        self.drop(filename)
        self.files[filename] = place
        self._unwanted = [each for each in self._unwanted if each != place]

    def drop(self, filename: str) -> bool:
        """Take a name away; a checkpoint without one is not wanted any more.

        Returns:
            Whether there was such a name.
        """
        place = self.files.pop(filename, None) or _remembered.pop(filename, None)
        if place is None:
            return False
        if place not in self.files.values():
            self._unwanted.append(place)
        return True

    def let_go(self, run_id: str | None) -> None:
        """Delete what nothing has a name for when the newest checkpoint is in MLflow.

        Only what is in the run that the newest is in, too: other runs are no matter of a training
        any more that goes on in this one.
        """
        self._unwanted += [self._tried[name] for name in to_try_again(self._outcomes)]
        unwanted, self._unwanted = self._unwanted, []
        here = {name_of(place): place for place in unwanted if place.run_id == run_id}
        if here and self.newest is not None:
            self._tried |= here
            self._outcomes.append(let_go_after(self.newest.ticket, tracking_uri(), [*here]))

    def names_of(self, run_id: str | None) -> dict[str, list[int | None]]:
        """Return epoch and step of a run's checkpoints by their names, to be stored with one."""
        known = {**_remembered, **self.files}.items()
        of_run = [(name, [p.epoch, p.step]) for name, p in known if p.run_id == run_id]
        return dict(of_run[-_MOST_NAMES:])


_remembered: dict[str, Place] = {}
"""The names that the checkpoints had which were loaded: handlers may go on where they were."""


def remember(files: Mapping[str, Place]) -> None:
    """Note the names that checkpoints had when one of them was saved that was now loaded."""
    _remembered.clear()
    _remembered.update(files)


_journals: weakref.WeakKeyDictionary[Engine, Journal] = weakref.WeakKeyDictionary()


def journal_of(trainer: Engine) -> Journal:
    """Return the journal of a training; all its savers share it."""
    return _journals.setdefault(trainer, Journal())


def is_end_of_epoch(trainer: Engine) -> bool:
    """Return whether a trainer has finished its epoch, or has not begun one."""
    state = trainer.state
    if trainer.last_event_name in (Events.EPOCH_COMPLETED, Events.COMPLETED):
        return True
    length = state.epoch_length
    return length is not None and state.iteration % length == 0


def name_of(place: Place) -> str:
    """Return the name of a checkpoint: ``epoch-6``, ``epoch-6-step-1200``."""
    return check_request(place.epoch, place.step, None, None).name


def seen(part: Any) -> Any:
    """Return the state of an object in a form that can be compared, without reading tensors.

    A tensor stands for its memory and the number of times that torch wrote there, which is
    enough to see a change within one iteration.
    """
    return comparable(part.state_dict())


def comparable(value: Any) -> Any:
    """Return a nesting of plain values and tensors in a form that can be compared; see `seen`."""
    kind = type(value)
    if kind is Tensor or kind is nn.Parameter:
        return _comparable_tensor(value)
    if kind in _PLAIN:
        return value if value == value else repr(value)  # so that a NaN is equal to itself
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    if kind is np.ndarray:
        return value.dtype.str, value.shape, value.tobytes()
    return object()  # equal to nothing: better saved once more than not at all


def _comparable_tensor(tensor: Tensor) -> Any:
    if tensor.dtype in _RANDOM_STATES and tensor.is_cpu:
        return tensor.numpy().tobytes()  # which are copied anew each time
    if tensor.layout is not torch.strided or tensor.is_inference():
        return object()
    return tensor.data_ptr(), tensor._version


def _is_part(some: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    return all(name in whole and whole[name] == value for name, value in some.items())
