"""Logging checkpoints, and waiting for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tracker.pending import PendingCheckpoint
from tracker.saving import tickets

if TYPE_CHECKING:
    from torch import nn

    from tracker.retention import Retention
    from tracker.saving.sync import Outcome, Watch


def log_checkpoint(
    model: nn.Module,
    *,
    epoch: int | None = None,
    step: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    example_input: Any = None,
    torchscript: bool = False,
    files: Mapping[str, bytes | os.PathLike[str]] | None = None,
    retention: Retention | None = None,
    run_id: str | None = None,
    wait: bool = False,
) -> PendingCheckpoint:
    """Log a checkpoint of ``model`` to MLflow, without waiting for it.

    Returns as soon as everything is copied, so that training may go on and change it. Hashing,
    writing and MLflow follow in the background, checkpoint by checkpoint; they are finished before
    the run or the process ends. If too much is in flight, the call waits.

    If MLflow can't be reached, a warning says so, training goes on, and the checkpoint is kept on
    the local disk until it can be sent, by this process, the next one, or ``tracker sync``.

    Outside a run it starts one, as ``mlflow.log_metric`` does. In distributed training rank 0
    alone writes.

    Args:
        model: The module. Wrappers (``torch.compile``, DDP) are looked through.
        epoch: The epoch, 0 or more. The same epoch (and step) logged again replaces the earlier
            checkpoint of this model in the run.
        step: The step, 0 or more. MLflow's charts show the metrics at the step, else at the epoch.
        metrics: Numbers by name; tensors and arrays of one element count as numbers.
        optimizer: Its ``state_dict()`` is stored, for `resume`.
        scheduler: Its ``state_dict()`` is stored, for `resume`.
        state: More to resume from, by name: objects with ``state_dict()``, random generators, or
            plain values. With any of these three, the state of the global random generators is
            stored, too.
        tags: Text by name. With ``{"tracker.keep": "true"}`` no retention deletes it.
        example_input: A small input: a tensor, a tuple of positional or a dict of keyword
            arguments. It is stored with the model's output for it in eval mode, so that loading
            can tell whether the model still computes the same. The model is run twice and left as
            it was.
        files: What shall lie beside the model, by name: content as bytes, or a path to read it
            from. ``Checkpoint.read_file`` returns it; loading a model does not fetch it.
        torchscript: Keep a model that is a program of ``torch.jit`` in torch's own format; loading
            it takes ``trust="torchscript"``.
        retention: Which checkpoints of the run, of models of this class, stay when this one is
            in MLflow; the others are deleted, in the background. See `Retention`. None: all stay.
        run_id: The run to log to, instead of the active one.
        wait: Return only when the checkpoint is durable.

    Returns:
        The pending checkpoint; ``.result()`` is the `Checkpoint`.

    Raises:
        InvalidArgumentError: An argument is not usable; nothing was written.
        UnstorableError: A tensor or value can't be stored; nothing was written.
        TrackerError: An earlier checkpoint could not be saved, and nobody has asked for its result;
            this one is being saved all the same. With ``wait``: this one could not be saved.

    Example:
        >>> for epoch in range(10):
        ...     loss = train(model, optimizer)
        ...     tracker.log_checkpoint(
        ...         model, epoch=epoch, metrics={"val_loss": loss}, optimizer=optimizer
        ...     )
    """
    from tracker.saving.accept import accept
    from tracker.saving.attached import check_files
    from tracker.saving.request import check_request
    from tracker.saving.turn import others_told

    with others_told(model) as turn:
        request = check_request(epoch, step, metrics, tags, retention)
        ticket = accept(
            model,
            request,
            optimizer=optimizer,
            scheduler=scheduler,
            state=state,
            example_input=example_input,
            torchscript=torchscript,
            files=check_files(files),
            run_id=run_id,
            wait=wait,
            turn=turn,
        )
    tickets.tell(stacklevel=2)
    return PendingCheckpoint(ticket)


def reconstruct_with(factory: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Make a model by calling ``factory``, and note that this call is how it is made again.

    For models that neither their constructor nor their module tree can bring back, because they
    hold lambdas, closures or objects of libraries that something else put there. Since a function
    may do anything, whoever loads such a checkpoint names its package: ``trust="my_package"``.

    Args:
        factory: A function at the top level of a module; its arguments are stored like those of a
            constructor.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        What the factory returned.

    Raises:
        InvalidArgumentError: The factory can't be found by name, or returned no module.

    Example:
        >>> model = tracker.reconstruct_with(build_detector, backbone="small", classes=3)
        >>> tracker.log_checkpoint(model, epoch=0)
    """
    from tracker.architecture.observe import observe_factory

    made: nn.Module = observe_factory(factory, args, kwargs)
    return made


def flush(timeout: float | None = None) -> None:
    """Wait until every checkpoint that was handed over is durable.

    That is in MLflow; while it can't be reached, that is on the local disk, and a warning says so.

    The end of a run (``mlflow.end_run()``) and of the process do the same.

    Args:
        timeout: Seconds to wait at most; None waits as long as it takes.

    Raises:
        TrackerError: One could not be saved, and nobody was told of it yet.
        TimeoutError: Some are not saved yet; saving goes on.

    Example:
        >>> tracker.flush(timeout=60)
    """
    tickets.flush(timeout, stacklevel=2)


def sync(watch: Watch | None = None) -> list[Outcome]:
    """Send every checkpoint to MLflow that waits on this disk; return what became of each.

    Args:
        watch: Called before each is sent; what it returns is called with the bytes that were sent.

    Raises:
        StorageError: The disk refused.
    """
    from tracker.saving import sync as everything

    return everything.sync(watch) if watch is not None else everything.sync()
