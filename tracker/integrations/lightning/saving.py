"""What a Trainer's callbacks ask to be saved and removed, handed over once they have all run.

Lightning lets every callback save by itself: the best models here, the last there. At one step of
training these are one checkpoint. So what they ask for is noted, and when the last of them has run
it is handed over once, with the state that all of them have by then.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.integrations.lightning.place import epoch_and_step
from tracker.integrations.lightning.run import TrainingRun
from tracker.integrations.lightning.training import take_apart
from tracker.saving import tickets
from tracker.saving.accept import accept
from tracker.saving.let_go import let_go_after, to_try_again
from tracker.saving.request import METRIC_STEP, check_request
from tracker.saving.ticket import Ticket

ENTRY = "lightning"
"""The name in ``state=`` under which Lightning's dump is kept."""

_log = logging.getLogger("tracker.saving")
_NOT_OF_LOGGER = re.compile(r"[^a-zA-Z0-9_/. -]+")
_NOT_OF_MLFLOW = re.compile(r"[^\w/. :\-]+")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a callback adds to its checkpoints.

    Attributes:
        tags: Text by name.
        example_input: An input that the model is tried with.
    """

    tags: Mapping[str, Any] = field(default_factory=dict)
    example_input: Any = None


@dataclass(slots=True)
class Asked:
    """What was asked for since the last handing over.

    Attributes:
        dumps: Lightning's dumps by URI; the last of several is the one that counts.
        extras: What the callbacks that asked add, by URI.
        removed: URIs of checkpoints that a callback gave up.
    """

    dumps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    extras: dict[str, Extras] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


class Handover:
    """The checkpoints of one Trainer in this process.

    Attributes:
        run: Where they go; None before the first fit.
        is_open: Whether a fit goes on that saves to it.
        pending: What was handed over, by URI.
    """

    def __init__(self) -> None:
        self.run: TrainingRun | None = None
        self.is_open = False
        self.pending: dict[str, Ticket] = {}
        self._asked = Asked()
        self._newest: Ticket | None = None
        self._outcomes: list[Future[list[str]]] = []
        self._told: set[str] = set()

    def ask(self, uri: str, dump: Mapping[str, Any], extras: Extras) -> None:
        """Note that a checkpoint is to be saved."""
        self._asked.dumps[uri] = dump
        self._asked.extras[uri] = extras

    def give_up(self, uri: str) -> None:
        """Note that a callback does not need a checkpoint any more."""
        self._asked.removed.append(uri)

    def hand_over(
        self, trainer: Any, needed: Callable[[], Collection[str]], *, tell: bool = True
    ) -> None:
        """Save what was asked for, and give up what no callback needs.

        Args:
            trainer: The Trainer, while one of its hooks runs.
            needed: Returns the URIs that its callbacks still hold.
            tell: Raise what an earlier checkpoint failed with.

        Raises:
            UnstorableError: A tensor of the model can't be stored.
            TrackerError: An earlier checkpoint could not be saved.
        """
        asked, self._asked = self._asked, Asked()
        for uri, dump in asked.dumps.items():
            self._save(uri, dump, asked.extras[uri], trainer)
        if asked.removed:
            held = needed()
            unwanted = [uri for uri in dict.fromkeys(asked.removed) if uri not in held]
            self._asked.removed = self._let_go(unwanted) if unwanted else []
        if tell:
            tickets.tell(stacklevel=3)

    def _save(self, uri: str, dump: Mapping[str, Any], extras: Extras, trainer: Any) -> None:
        place, run = epoch_and_step(uri), self.run
        if place is None or run is None or not uri.startswith(f"runs:/{run.label}/"):
            raise InvalidArgumentError(
                f"{uri} is nothing that a checkpoint can be saved as: a TrackerCheckpoint among "
                "the Trainer's callbacks names them by run, epoch and step."
            )
        taken = take_apart(dump, trainer.lightning_module)
        self._tell_left_out(taken.left_out)
        at = logger_step(trainer) if run.has_logger else None
        request = check_request(
            *place,
            metrics_of(trainer, like_logger=run.has_logger),
            {**extras.tags, **({} if at is None or at == place[1] else {METRIC_STEP: at})},
        )
        ticket = accept(
            trainer.lightning_module,
            request,
            optimizer=None,
            scheduler=None,
            state={ENTRY: taken.value},
            example_input=extras.example_input,
            torchscript=False,
            files={},
            run_id=run.run_id,
            wait=False,
            weights=taken.weights,
            uri=run.tracking_uri,
        )
        self.pending[uri] = self._newest = ticket

    def _let_go(self, unwanted: list[str]) -> list[str]:
        """Have checkpoints deleted when the newest is saved; return what could not be, so far."""
        if self._newest is None or self.run is None:
            return unwanted
        prefix = f"runs:/{self.run.label}/"
        names = [uri.removeprefix(prefix) for uri in unwanted if uri.startswith(prefix)]
        names += to_try_again(self._outcomes)
        self._outcomes.append(let_go_after(self._newest, self.run.tracking_uri, names))
        for uri in unwanted:
            self.pending.pop(uri, None)
        return []

    def _tell_left_out(self, left_out: list[str]) -> None:
        new = [each for each in left_out if each not in self._told]
        if new:
            self._told.update(new)
            listed = "\n".join(f"  {each}" for each in new[:10])
            warnings.warn(
                "Parts of Lightning's training state can't be stored without pickle and are left "
                f"out; everything else, the weights above all, is saved:\n{listed}",
                TrackerWarning,
                stacklevel=2,
            )

    def wait(self) -> None:
        """Wait until everything that was handed over is safe; nothing is raised."""
        if self.run is not None:
            tickets.wait(run_id=self.run.label)
        self._wait_for_deletions()

    def flush(self) -> None:
        """Wait until everything that was handed over is safe, and tell what is not.

        Raises:
            TrackerError: Something could not be saved, and nobody was told of it yet.
        """
        if self.run is not None:
            tickets.wait(run_id=self.run.label)
            self._wait_for_deletions()
            tickets.flush(run_id=self.run.label, stacklevel=3)

    def _wait_for_deletions(self) -> None:
        """Wait for those that have begun; where MLflow can't be reached, they have not."""
        if self._newest is not None and self._newest.done():
            wait_for_futures(self._outcomes)


def metrics_of(trainer: Any, *, like_logger: bool) -> dict[str, Any]:
    """Return the metrics of the moment, by names that MLflow takes.

    Args:
        trainer: The Trainer.
        like_logger: Give them the names that MLFlowLogger gives them.
    """
    unwanted = _NOT_OF_LOGGER if like_logger else _NOT_OF_MLFLOW
    return {unwanted.sub("", name): value for name, value in trainer.callback_metrics.items()}


def logger_step(trainer: Any) -> int | None:
    """Return the step at which Lightning's loggers have the metrics of the moment.

    Lightning has no public name for it. It counts the batches after which an optimizer stepped, and
    puts the metrics of an epoch's end at its last batch, when it has counted on already.
    """
    loop = getattr(trainer.fit_loop, "epoch_loop", None)
    count = getattr(loop, "_batches_that_stepped", None)
    if not isinstance(count, int):
        return None
    is_counted = not trainer.validating and trainer.fit_loop.epoch_progress.current.processed > (
        trainer.fit_loop.epoch_progress.current.completed
    )
    return max(count - 1, 0) if is_counted else count
