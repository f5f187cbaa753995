"""One ``train()`` of a Trainer: its run, its checkpoints, and the folders that they replace."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed
from torch import nn

from tracker.api.finding import as_checkpoint, get_checkpoint
from tracker.api.saving import flush, log_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import NotFoundError, TrackerError, TrackerWarning, UnstorableError
from tracker.format import open_checkpoint
from tracker.integrations.transformers.contents import (
    ARGUMENTS_FILE,
    arguments_file,
    files_beside,
)
from tracker.integrations.transformers.moment import Moment
from tracker.integrations.transformers.run import end_run, start_run
from tracker.integrations.transformers.state import (
    STATE_FILE,
    epoch_of,
    metrics_of,
    written_state,
)
from tracker.loading.into import load_into
from tracker.pending import PendingCheckpoint
from tracker.record.runs import active_run_id
from tracker.retention import Retention
from tracker.training import random_state
from tracker.training.world import rank, world_size

_URI = "models:/"

RANDOM_STATES = "random_states_of_ranks"
"""The name in ``state=`` of the states of the random generators of every process."""


class Training:
    """What is to be known from the beginning of a training to its end.

    Args:
        run_id: The run to log to; by default the active one, or one that is started.
        run_name: The name of a run that is started.
        retention: Which checkpoints stay.
        tags: Text by name, for every checkpoint.
        started: The run that a training before, which did not come to its end, has started.

    Attributes:
        run_id: The run, once it is known.
        started: The run, if it is to be ended with the training.
    """

    def __init__(
        self,
        *,
        run_id: str | None,
        run_name: str | None,
        retention: Retention | None,
        tags: Mapping[str, str],
        started: str | None = None,
    ) -> None:
        self.run_id = run_id or active_run_id()
        self._run_name = run_name
        self._always = {"retention": retention, "tags": tags}
        self.started = started if started is not None and started == self.run_id else None
        self._is_settled = False
        self._logged: dict[int, PendingCheckpoint] = {}
        self._metrics: Mapping[str, float] = {}
        self._beside: dict[str, bytes] | None = None
        self._folders: list[tuple[Path, PendingCheckpoint]] = []
        self._removable: list[Path] = []

    def log(self, moment: Moment) -> None:
        """Log a checkpoint; every rank calls it.

        Raises:
            TrackerError: An earlier one could not be saved, and nobody was told of it yet.
        """
        step, metrics = moment.state.global_step, metrics_of(moment.state)
        if step in self._logged and metrics == self._metrics:
            return  # several callbacks of the Trainer may ask for the same step
        finished = [path for path, pending in self._folders if pending.done()]
        self._logged[step] = self._log(moment, step, metrics)
        self._metrics = metrics
        # Had saving one of these failed, that would have been raised by now.
        self._removable = finished

    def _log(self, moment: Moment, step: int, metrics: Mapping[str, float]) -> PendingCheckpoint:
        writes = bool(moment.state.is_world_process_zero)
        if writes:
            self._find_run()
        arguments: dict[str, Any] = {
            "epoch": epoch_of(moment.state),
            "step": step,
            "metrics": metrics,
            "files": self._files(moment) if writes else None,
            "run_id": self.run_id,
            **self._always,
        }
        parts = {} if moment.args.save_only_model else _training_state(moment)
        while True:
            try:
                return log_checkpoint(moment.model, **arguments, **_as_arguments(parts))
            except UnstorableError as error:
                unstorable = _part_of(error.path, parts)
                if unstorable is None:
                    raise
                del parts[unstorable]
                warnings.warn(
                    f"The checkpoint of step {step} is logged without {unstorable}, so training "
                    f"can't go on from it exactly: {error}",
                    TrackerWarning,
                    stacklevel=5,
                )

    def _find_run(self) -> None:
        """Settle once which run it is; None where MLflow can't be asked, which then stays so."""
        if self._is_settled:
            return
        # Others may have started one meanwhile, to log metrics.
        self.run_id = self.run_id or active_run_id()
        if self.run_id is None:
            self.run_id = self.started = start_run(self._run_name)
        self._is_settled = True

    def _files(self, moment: Moment) -> dict[str, bytes]:
        if self._beside is None:
            self._beside = files_beside(moment.model, moment.processing_class, stacklevel=6)
            self._beside[ARGUMENTS_FILE] = arguments_file(moment.args)
        return {**self._beside, STATE_FILE: written_state(moment.state)}

    def to_remove(self, folder: Path) -> None:
        """Note a folder of the Trainer's that holds what was logged last."""
        self._folders.append((folder, [*self._logged.values()][-1]))

    def remove_folders(self, *, except_for: str | None = None) -> dict[str, str]:
        """Remove the noted folders whose checkpoints were durable when the last one was logged.

        Args:
            except_for: The folder that stays.

        Returns:
            For each that was removed, the URI of its checkpoint.
        """
        kept = None if except_for is None else Path(except_for)
        removed: dict[str, str] = {}
        for folder, pending in self._folders:
            if folder in self._removable and folder != kept:
                shutil.rmtree(folder, ignore_errors=True)
                removed[str(folder)] = f"{_URI}{pending.result().id}"
        self._folders = [each for each in self._folders if str(each[0]) not in removed]
        return removed

    def finish(self, best_step: int | None, model: nn.Module) -> str | None:
        """Wait until every checkpoint is durable; load the best one, and end a run of our own.

        Args:
            best_step: The step of the checkpoint to load into the model, or None.
            model: The model.

        Returns:
            The URI of the checkpoint that was loaded, or its folder in the spool, or None.

        Raises:
            TrackerError: A checkpoint could not be saved, and nobody was told of it yet.
        """
        best: str | None = None
        try:
            if rank() == 0:
                flush()
                self._removable = [path for path, pending in self._folders if pending.done()]
                best = None if best_step is None else self._best(best_step)
        finally:
            # The other ranks wait for it, whatever became of this one.
            best = _told_by_the_first(best) if best_step is not None else None
            if self.started is not None:
                end_run(self.started)
        return best if best is not None and _is_loaded(best, model) else None

    def _best(self, step: int) -> str | None:
        pending = self._logged.get(step)
        if pending is not None and (spooled := pending.spooled) is not None:
            return str(spooled)
        try:
            return f"{_URI}{self._checkpoint_of(step).id}"
        except TrackerError as error:
            _warn_of_best(error)
            return None

    def _checkpoint_of(self, step: int) -> Checkpoint:
        pending = self._logged.get(step)
        if pending is not None:
            return pending.result()
        if self.run_id is None:
            raise NotFoundError("it was logged to another run.")
        return get_checkpoint(self.run_id, step=step)


def _is_loaded(best: str, model: nn.Module) -> bool:
    """Load a checkpoint, named by its URI or its folder in the spool; return whether that went."""
    try:
        if best.startswith(_URI):
            as_checkpoint(best).load_into(model)
        else:
            load_into(open_checkpoint(Path(best)), model)
    except TrackerError as error:
        _warn_of_best(error)
        return False
    return True


def _warn_of_best(error: TrackerError) -> None:
    warnings.warn(
        "load_best_model_at_end: the best checkpoint can't be loaded, and the model stays as it "
        f"is: {error}",
        TrackerWarning,
        stacklevel=6,
    )


def _training_state(moment: Moment) -> dict[str, Any]:
    """Return what training goes on from, by the names that errors call them by."""
    parts = {"optimizer": moment.optimizer, "scheduler": moment.scheduler}
    if moment.scaler is not None:
        parts["state.scaler"] = moment.scaler
    if world_size() > 1:
        # log_checkpoint can't know whether every process calls it, and does not wait long for what
        # they have of their own. Here all do, so they can tell each other.
        parts[f"state.{RANDOM_STATES}"] = random_state.capture_everywhere()
    return {name: part for name, part in parts.items() if part is not None}


def _as_arguments(parts: Mapping[str, Any]) -> dict[str, Any]:
    state = {n.removeprefix("state."): p for n, p in parts.items() if n.startswith("state.")}
    own = {name: part for name, part in parts.items() if not name.startswith("state.")}
    return {**own, "state": state} if state else own


def _part_of(path: str, parts: Mapping[str, Any]) -> str | None:
    """Return the part that a path leads into, as errors name it."""
    return next((name for name in parts if path.startswith(name)), None)


def _told_by_the_first(text: str | None) -> str | None:
    """Return the text that rank 0 has, on every rank."""
    if world_size() == 1:
        return text
    told = [text]
    torch.distributed.broadcast_object_list(told, src=0)
    return told[0]
