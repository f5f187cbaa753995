"""Going on with a training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tracker import settings
from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import TrackerWarning
from tracker.saving import tickets

if TYPE_CHECKING:
    from torch import nn

    from tracker.rehearsal.report import ResumeReport
    from tracker.types import CheckpointRecord


def resume(
    source: Checkpoint | str,
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    random_state: bool | None = None,
) -> Checkpoint:
    """Load a checkpoint's weights and training state into live objects and return it.

    Everything is compared first, parameter by parameter: if something does not fit, nothing is
    changed. Options of the optimizer, such as its learning rate, become those of the checkpoint.

    Args:
        source: See `load_model`.
        model: The model, made as the training script makes it.
        optimizer: Takes the optimizer's state, if given.
        scheduler: Takes the scheduler's state, if given.
        state: Objects that were logged as ``state=``, by the same names: what has a
            ``state_dict()``, and random generators. Plain values are in ``checkpoint.state``.
        random_state: Whether the global random generators of Python, NumPy, torch and CUDA go on
            where they were. By default they do where more than the model is resumed, and the
            checkpoint has their state, as those that are logged with an optimizer have.

    Raises:
        MismatchError: Something does not fit; names it.
        NotFoundError: There is no such checkpoint.
        CorruptCheckpointError: Its bytes are not those that were written.

    Example:
        >>> checkpoint = tracker.resume("m-0f3c", model=model, optimizer=optimizer)
        >>> for epoch in range(checkpoint.epoch + 1, 10):
        ...     train(model, optimizer)
    """
    checkpoint = as_checkpoint(source)
    checkpoint.resume(
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        state=state,
        random_state=random_state,
    )
    return checkpoint


def resume_latest(
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    experiment: str | None = None,
    random_state: bool | None = None,
) -> Checkpoint | None:
    """Resume from the newest checkpoint, if there is one: for scripts that may be started again.

    Only checkpoints of the model's class count. If the newest is damaged, or its files are gone, a
    warning says so, and the one before it is taken.

    Args:
        model: See `resume`, as the next three.
        optimizer: Takes the optimizer's state, if given.
        scheduler: Takes the scheduler's state, if given.
        state: Objects that were logged as ``state=``, by the same names.
        run_id: Look only in this run. By default in the active run (or that of
            ``MLFLOW_RUN_ID``); if there is none, in the experiment.
        experiment: Look in this experiment. By default in the one in force
            (``mlflow.set_experiment``, ``MLFLOW_EXPERIMENT_NAME``).
        random_state: See `resume`.

    Returns:
        The checkpoint, with its epoch; None if nothing was logged there so far, not even the
        experiment or the database is there.

    Raises:
        MismatchError: Something does not fit; names it.
        FormatError: All checkpoints are damaged.
        NotFoundError: There are checkpoints, but the files of all are gone.
        RecordError: MLflow can't be reached.

    Example:
        >>> mlflow.set_experiment("digits")
        >>> last = tracker.resume_latest(model=model, optimizer=optimizer)
        >>> with mlflow.start_run(run_id=last.run_id if last else None):
        ...     for epoch in range(last.epoch + 1 if last else 0, 10):
        ...         loss = train(model, optimizer)
        ...         tracker.log_checkpoint(model, epoch=epoch, optimizer=optimizer)
    """
    from tracker.loading import latest

    tickets.wait()

    def try_to_resume(record: Any) -> None:
        Checkpoint(record).resume(
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            state=state,
            random_state=random_state,
        )

    record = latest.first_usable(latest.newest(model, run_id, experiment), try_to_resume)
    _tell_of_newer_in_spool(record, run_id)
    return None if record is None else Checkpoint(record)


def _tell_of_newer_in_spool(found: CheckpointRecord | None, run_id: str | None) -> None:
    """Warn if a newer checkpoint waits on this disk, because MLflow could not be reached."""
    from tracker.saving import spool
    from tracker.saving.delivery import written_uri

    waiting = [
        each
        for each in spool.waiting()
        if each.tracking_uri == written_uri(settings.tracking_uri())
        and (found is None or each.created_at > found.created_at)
        and (run_id is None or each.run_id == run_id)
    ]
    if waiting:
        last, others = waiting[-1], len(waiting) - 1
        warnings.warn(
            f"A newer checkpoint waits on this disk until it is sent to MLflow: {last.name} in "
            f"{last.directory}{f', and {others} before it' if others else ''}. To go on from "
            "there, stop, run `tracker sync`, and start again.",
            TrackerWarning,
            stacklevel=3,
        )


def verify_resume(
    step: Callable[[], Any],
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    steps: int = 3,
) -> ResumeReport:
    """Try whether training goes on exactly from a checkpoint that is logged now; say what is lost.

    The state is stored in a temporary folder as a checkpoint has it. Then some steps are run, the
    state is loaded, and the steps are run again: inputs, results, weights, buffers and the states
    of all that was given must be the same, bit for bit. If they are not, further replays find out
    why: what the step can reach (optimizers, schedulers, averages, generators, iterators,
    variables) is put back by hand, all of it and all but one.

    Afterwards everything is as it was before, random numbers and batches of DataLoaders included;
    where that can't be, ``notes`` of the report say so. If the replay differs, about
    ``steps * (5 + things that changed)`` steps are run. State that lives in other processes, and
    what the steps do to files or servers, is out of sight.

    Args:
        step: Does one training step, without arguments; may return the loss.
        model: What would be given to `log_checkpoint` and `resume`, as all that follows.
        optimizer: See `resume`.
        scheduler: See `resume`.
        state: See `resume`.
        steps: How many steps.

    Returns:
        The report; it is true if training goes on exactly, and says what is not restored if not.

    Raises:
        InvalidArgumentError: An argument is not usable, ``step`` raised, or several processes
            train together.
        UnstorableError: Something can't be stored; nothing was run.
        MismatchError: An object refuses the state that it gave itself.

    Example:
        >>> def step():
        ...     return train_on(next(batches))
        >>> report = tracker.verify_resume(step, model=model, optimizer=optimizer)
        >>> print(report)
        resume is not exact: 3 steps were replayed
        not restored:
          batches (confirmed): the steps draw batches from an iterator of a DataLoader, and no …
    """
    from tracker.rehearsal.rehearse import rehearse

    return rehearse(
        step, model=model, optimizer=optimizer, scheduler=scheduler, state=state, steps=steps
    )
