"""The save handler for Ignite's ``Checkpoint``, in the place of its ``DiskSaver``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ignite.engine import Engine, Events
from ignite.engine.deterministic import DeterministicEngine
from ignite.handlers.checkpoint import BaseSaveHandler
from torch.distributed.optim import ZeroRedundancyOptimizer

from tracker.api.saving import log_checkpoint
from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.integrations.ignite.contents import contents_of, engines_in
from tracker.integrations.ignite.journal import (
    Moment,
    Place,
    comparable,
    is_end_of_epoch,
    journal_of,
    seen,
)
from tracker.integrations.ignite.metrics import MetricSource
from tracker.integrations.ignite.resuming import CHECKPOINTER, VALUE, Kept
from tracker.pending import PendingCheckpoint
from tracker.record.runs import active_run_id
from tracker.saving.request import METRIC_STEP
from tracker.training import random_state
from tracker.training.world import rank


class TrackerSaver(BaseSaveHandler):
    """Saves what Ignite's ``Checkpoint`` saves as tracker checkpoints, in MLflow's active run.

    ``Checkpoint`` decides when to save and, by ``n_saved`` and ``score_function``, what stays, as
    it does with a ``DiskSaver``. A checkpoint holds everything in ``to_save``, in the background
    while training goes on, with the metrics of the moment: those of the evaluators if they have
    just run, those of the trainer as ``train_…``, and the score by its ``score_name``.

    At the end of an epoch a checkpoint is found by the epoch as Ignite counts it, from 1; one
    within an epoch by the iteration, too. One saver may serve several ``Checkpoint`` handlers: what
    they save at the same moment is one checkpoint, and stays as long as one of them keeps it.

    In distributed training every rank calls it, as with ``DiskSaver``; rank 0 writes.

    Args:
        to_save: What ``Checkpoint`` gets: objects by name, nested if you like. One of them is the
            model that the checkpoint rebuilds: the only module, or the one called ``model``.
        trainer: The engine that trains, if it is not in ``to_save``.
        evaluators: The engine whose metrics the checkpoints get, or several by name:
            ``{"val": evaluator}`` makes its ``accuracy`` the metric ``val_accuracy``.
        model: The name of the model in ``to_save``, where there are several modules.
        run_id: The MLflow run, instead of the active one.
        tags: Text by name, for every checkpoint.
        example_input: See `tracker.log_checkpoint`.

    Raises:
        InvalidArgumentError: ``to_save`` has no model, or more than one could be meant; there is no
            trainer; or an object has no ``state_dict()``.

    Example:
        >>> handler = Checkpoint(
        ...     to_save, TrackerSaver(to_save, evaluators=evaluator),
        ...     n_saved=2, score_name="accuracy",
        ... )
        >>> evaluator.add_event_handler(Events.COMPLETED, handler)
    """

    def __init__(
        self,
        to_save: Mapping[str, Any],
        *,
        trainer: Engine | None = None,
        evaluators: Engine | Mapping[str, Engine] | None = None,
        model: str | None = None,
        run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        example_input: Any = None,
    ) -> None:
        self._contents = contents_of(to_save, model)
        self._engines = engines_in(to_save)
        self._trainer = _trainer(self._engines, trainer)
        self._number = journal_of(self._trainer).count_saver()
        self._metrics = MetricSource(self._trainer, evaluators)
        self._trainer.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._let_go)
        self._run_id = run_id
        self._tags = dict(tags or {})
        self._example_input = example_input

    def __call__(
        self,
        checkpoint: Mapping[str, Any],
        filename: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a checkpoint; what Ignite's ``Checkpoint`` calls.

        Args:
            checkpoint: The states that Ignite has taken. What is stored is taken from the objects.
            filename: Ignite's name for the checkpoint, by which it will remove it.
            metadata: The score and its name.

        Raises:
            UnstorableError: A state holds what can't be stored; names its path.
            TrackerError: An earlier checkpoint could not be saved.
        """
        metrics = self._metrics_now(metadata)
        extra = _state_of_handler(checkpoint)
        moment = self._moment(metrics, extra)
        journal = journal_of(self._trainer)
        place = journal.find(moment)
        if place is None:
            place = journal.free_place(moment, at_the_end_of_an_epoch=self._is_epoch_over())
            kept = self._kept(
                extra, {**journal.names_of(place.run_id), self._name(filename): place[1:]}
            )
            pending = self._log(place, metrics, kept)
            place = place._replace(run_id=self._run())  # it may have been started just now
            journal.enter(replace(moment, run_id=place.run_id), place)
            journal.newest = pending
        journal.name(self._name(filename), place)
        if journal.newest is not None and not journal.newest.ticket.done():
            self._let_go()  # in the background: else with the next one, or when training ends

    def remove(self, filename: str) -> None:
        """Give up a checkpoint; it is deleted when a newer one is in MLflow.

        Args:
            filename: Ignite's name for it.
        """
        if not journal_of(self._trainer).drop(self._name(filename)) and rank() == 0:
            warnings.warn(
                f"Ignite removes {filename}, of which nothing is known here, so it stays: it was "
                "saved by an earlier process, and nothing was resumed from what that has saved.",
                TrackerWarning,
                stacklevel=2,
            )

    def _name(self, filename: str) -> str:
        """Return a file name as one of this saver: others may have the same for other things."""
        return f"{self._number}/{filename}"

    def _let_go(self) -> None:
        if rank() == 0:
            journal_of(self._trainer).let_go(self._run())

    def _log(self, place: Place, metrics: Mapping[str, float], kept: Kept) -> PendingCheckpoint:
        contents = self._contents
        at_the_epoch = place.step is not None and self._is_epoch_over()
        return log_checkpoint(
            contents.model,
            epoch=place.epoch,
            step=place.step,
            metrics=metrics,
            optimizer=contents.optimizer,
            scheduler=contents.scheduler,
            state={**contents.state, VALUE: kept.as_value()},
            # MLflow's charts have the metrics of other ends of epochs at the epoch.
            tags=self._tags | ({METRIC_STEP: self._trainer.state.epoch} if at_the_epoch else {}),
            example_input=self._example_input,
            run_id=self._run_id,
        )

    def _moment(self, metrics: Mapping[str, float], extra: Mapping[str, Any] | None) -> Moment:
        parts = {
            name: seen(part)
            for name, part in self._contents.by_role().items()
            # Only the rank that it was gathered on has its state.
            if rank() == 0 or not isinstance(part, ZeroRedundancyOptimizer)
        }
        parts["random"] = comparable(random_state.capture())
        if extra is not None:
            parts[CHECKPOINTER] = repr(extra)
        return Moment(
            run_id=self._run(),
            epoch=self._trainer.state.epoch,
            iteration=self._trainer.state.iteration,
            states=parts,
            metrics={name: repr(value) for name, value in metrics.items()},
        )

    def _kept(self, extra: Mapping[str, Any] | None, files: Mapping[str, Any]) -> Kept:
        seeds = {
            name: engine.state.seed
            for name, engine in self._engines.items()
            if isinstance(engine, DeterministicEngine) and engine.state.seed is not None
        }
        return Kept(self._contents.layout, seeds, files, extra)

    def _metrics_now(self, metadata: Mapping[str, Any] | None) -> dict[str, float]:
        metrics, known = self._metrics.now(), metadata or {}
        score = {known.get("score_name"): known.get("priority")}
        for name, value in self._metrics.numbers_of({n: v for n, v in score.items() if n}).items():
            # Mostly it is a metric that is there already, perhaps as that of an evaluator.
            alike = (other for other, there in metrics.items() if there == value)
            if not any(other == name or other.endswith(f"_{name}") for other in alike):
                metrics[name] = value
        return metrics

    def _run(self) -> str | None:
        return self._run_id or active_run_id()

    def _is_epoch_over(self) -> bool:
        return is_end_of_epoch(self._trainer)


def _trainer(engines: Mapping[str, Engine], given: Engine | None) -> Engine:
    if given is not None:
        if not isinstance(given, Engine):
            raise InvalidArgumentError(
                f"trainer is a {type(given).__name__}; expected the ignite Engine that trains."
            )
        return given
    if len(engines) == 1 or "trainer" in engines:
        return engines["trainer"] if "trainer" in engines else next(iter(engines.values()))
    raise InvalidArgumentError(
        f"to_save holds {'several engines' if engines else 'no engine'}, and it is the trainer "
        "that knows epoch and iteration: give it as trainer=."
    )


def _state_of_handler(checkpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the state that ``Checkpoint(include_self=True)`` has put in of its own, or None."""
    state = checkpoint.get(CHECKPOINTER)
    return dict(state) if isinstance(state, Mapping) and "_saved" in state else None
