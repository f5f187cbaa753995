"""Ignite: from a checkpoint back into the objects of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ignite.engine import Engine, Events
from ignite.engine.deterministic import DeterministicEngine

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import FormatError, InvalidArgumentError, MismatchError
from tracker.integrations.ignite.contents import (
    MODEL,
    OPTIMIZER,
    SCHEDULER,
    STATE,
    Layout,
    contents_of,
    engines_in,
    filled,
    is_layout,
    names_in,
    roles,
)
from tracker.integrations.ignite.journal import Place, remember
from tracker.loading.fetch import fetch, verified
from tracker.loading.training_state import entries_of, read_object, training_of, values_of
from tracker.saving import tickets
from tracker.types import CheckpointRecord

VALUE = "ignite"
"""The name in ``state=`` under which a saver keeps what it knows."""

CHECKPOINTER = "checkpointer"
"""The name that Ignite's ``Checkpoint(include_self=True)`` has for its own state."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a saver keeps with a checkpoint for itself.

    Attributes:
        layout: Where the objects of ``to_save`` went.
        seeds: The seeds of ``DeterministicEngine``, by the names of the engines.
        files: Epoch and step of the checkpoints that the handlers kept, by Ignite's file names.
        checkpointer: The state of the ``Checkpoint`` handler itself, if it was included.
    """

    layout: Layout
    seeds: Mapping[str, int]
    files: Mapping[str, list[int | None]]
    checkpointer: Mapping[str, Any] | None

    def names(self) -> set[str]:
        """Return the names of everything that the checkpoint holds."""
        handler = {CHECKPOINTER} if self.checkpointer is not None else set()
        return names_in(self.layout) | handler

    def as_value(self) -> dict[str, Any]:
        """Return it as a plain value."""
        return {
            "checkpointer": self.checkpointer,
            "files": dict(self.files),
            "layout": self.layout,
            "seeds": dict(self.seeds),
        }

    def places(self, run_id: str) -> dict[str, Place]:
        """Return where the checkpoints are that the handlers kept, all of one run."""
        return {name: Place(run_id, *place) for name, place in self.files.items()}


def load(source: Checkpoint | str) -> dict[str, Any]:
    """Return the states of a checkpoint as Ignite's ``Checkpoint.load_objects`` takes them.

    Where nothing has to be left out, `resume` is better: it compares everything before it changes
    anything, and restores the random state.

    Args:
        source: See `tracker.load_model`.

    Returns:
        The states by the names, and in the nesting, of the ``to_save`` that was saved.

    Raises:
        MismatchError: The checkpoint was not saved by a `TrackerSaver`.
        NotFoundError: There is no such checkpoint.
        CorruptCheckpointError: The bytes are not those that were written.

    Example:
        >>> Checkpoint.load_objects(to_load=to_save, checkpoint=load("runs:/0a1b2c/epoch-6"))
    """
    checkpoint = as_checkpoint(source)
    kept = kept_of(checkpoint)
    if kept is None:
        raise MismatchError(
            f"{checkpoint!r} was not saved by a TrackerSaver, so it has no names of Ignite's. Use "
            "resume() of this module, or tracker.resume()."
        )
    states = {MODEL: checkpoint.load_state_dict(), **_states(checkpoint)}
    remember(kept.places(checkpoint.run_id))
    loaded: dict[str, Any] = filled(kept.layout, states)
    if kept.checkpointer is not None:
        loaded[CHECKPOINTER] = kept.checkpointer
    return loaded


def resume(
    source: Checkpoint | str, to_load: Mapping[str, Any], *, model: str | None = None
) -> Checkpoint:
    """Load a checkpoint into the objects of a training and return it.

    Weights, optimizer, schedulers, engines and the random state become what they were, so that
    ``trainer.run(…)`` goes on as if it had never stopped. Everything is compared first: if
    something does not fit, nothing is changed. A ``DeterministicEngine`` gets its seed, too.

    Args:
        source: See `tracker.load_model`. It may have been logged by a plain loop as well.
        to_load: Objects by the names that they had in ``to_save``, the model among them; not
            necessarily all.
        model: The name of the model in ``to_load``, where that is not clear; see `TrackerSaver`.

    Raises:
        MismatchError: Something does not fit, or the checkpoint does not hold it; names it.
        InvalidArgumentError: ``to_load`` has no model.

    Example:
        >>> to_save = {"model": model, "optimizer": optimizer, "trainer": trainer}
        >>> resume(tracker.best_checkpoint("accuracy"), to_save)
        >>> trainer.run(loader, max_epochs=10)
    """
    checkpoint = as_checkpoint(source)
    kept = kept_of(checkpoint)
    handler, own = _apart(to_load, kept)
    parts = _parts(kept, own, model)
    checkpoint.resume(
        model=parts.pop(MODEL),
        optimizer=parts.pop(OPTIMIZER, None),
        scheduler=parts.pop(SCHEDULER, None),
        state={name.removeprefix(STATE): part for name, part in parts.items()},
    )
    if kept is not None:
        _seed(engines_in(own), kept.seeds)
        remember(kept.places(checkpoint.run_id))
        if handler is not None:
            handler.load_state_dict(kept.checkpointer)
    return checkpoint


def resume_latest(
    to_load: Mapping[str, Any],
    *,
    model: str | None = None,
    run_id: str | None = None,
    experiment: str | None = None,
) -> Checkpoint | None:
    """Resume from the newest checkpoint that holds everything in ``to_load``, if there is one.

    For scripts that may be started again. If the newest is damaged, a warning says so, and the one
    before it is taken.

    Args:
        to_load: See `resume`.
        model: See `resume`.
        run_id: See `tracker.resume_latest`.
        experiment: See `tracker.resume_latest`.

    Returns:
        The checkpoint, or None if nothing was saved there so far.

    Raises:
        MismatchError: Something does not fit; names it.
        RecordError: MLflow can't be reached.

    Example:
        >>> if resume_latest(to_save, experiment="digits") is None:
        ...     print("from the beginning")
        >>> trainer.run(loader, max_epochs=10)
    """
    from tracker.loading import latest

    tickets.wait()
    module = contents_of(_without_handler(to_load), model).model
    names = names_in(to_load)

    def holds_everything(record: CheckpointRecord) -> bool:
        kept = kept_of(Checkpoint(record))
        return kept is None or names <= kept.names()

    found = filter(holds_everything, latest.newest(module, run_id, experiment))
    record = latest.first_usable(found, lambda r: resume(Checkpoint(r), to_load, model=model))
    return None if record is None else Checkpoint(record)


def kept_of(checkpoint: Checkpoint) -> Kept | None:
    """Return what a saver kept with a checkpoint; None if it was logged without one.

    Raises:
        FormatError: It is not what a saver keeps.
    """
    value = values_of(fetch(checkpoint.record, ())).get(VALUE)
    if not isinstance(value, dict) or "layout" not in value:
        return None
    layout = value["layout"]
    if not isinstance(layout, dict) or not is_layout(layout):
        raise FormatError(f"state.{VALUE}.layout: expected names of objects.")
    seeds, files = value.get("seeds") or {}, value.get("files") or {}
    return Kept(layout, seeds, files, value.get(CHECKPOINTER))


def _states(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the objects beside the model returned as their ``state_dict()``."""
    groups = ("training",)
    stored = fetch(checkpoint.record, groups, check=verified(groups))
    verified(groups)(stored)
    training = training_of(stored)
    entries = {name: training[name] for name in (OPTIMIZER, SCHEDULER) if name in training}
    entries |= {STATE + name: entry for name, entry in entries_of(training).items()}
    return {
        name: read_object(stored, entry, name).state
        for name, entry in entries.items()
        if "state_dict" in entry
    }


def _apart(to_load: Mapping[str, Any], kept: Kept | None) -> tuple[Any, Mapping[str, Any]]:
    """Return the handler that gets its own state, if there is one, and everything else."""
    if kept is None or CHECKPOINTER not in to_load or CHECKPOINTER in names_in(kept.layout):
        return None, to_load
    if kept.checkpointer is None:
        raise MismatchError(
            f"The checkpoint holds no {CHECKPOINTER}: its Checkpoint handler was made without "
            "include_self=True. Nothing was changed."
        )
    return to_load[CHECKPOINTER], _without_handler(to_load)


def _without_handler(to_load: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: part for name, part in to_load.items() if name != CHECKPOINTER}


def _parts(kept: Kept | None, to_load: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """Return the objects by the names that the checkpoint has their states under."""
    if kept is None:
        return contents_of(to_load, model).by_role()
    parts = roles(to_load, kept.layout)
    if MODEL not in parts:
        raise InvalidArgumentError(
            f"to_load has no model, only {', '.join(to_load)}. To load parts of a checkpoint, give "
            "load(source) to Ignite's Checkpoint.load_objects."
        )
    return parts


def _seed(engines: Mapping[str, Engine], seeds: Mapping[str, int]) -> None:
    """Let engines begin with the seeds that they had: each draws a new one when it starts."""
    for name, engine in engines.items():
        if isinstance(engine, DeterministicEngine) and name in seeds:
            engine.add_event_handler(Events.STARTED, _set_seed, engine.state.iteration, seeds[name])


def _set_seed(engine: Engine, iteration: int, seed: int) -> None:
    if engine.state.iteration == iteration:  # and not when it is run from the beginning, later
        engine.state.seed = seed
