"""The public functions, one for each use. They check arguments and call the rooms below.

A query first waits for what this process has handed over, so that it sees its own checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tracker.checkpoint import Checkpoint
from tracker.errors import InvalidArgumentError, TrackerError
from tracker.loading import find, mirror
from tracker.loading.apart import explain_apart
from tracker.loading.check import Checked, check
from tracker.loading.frame import to_frame
from tracker.loading.mirror import open_current
from tracker.loading.resolve import resolve
from tracker.loading.verify import Verified, condition_of, verify
from tracker.pending import PendingCheckpoint
from tracker.saving import tickets
from tracker.upkeep.database import Upgraded, upgrade
from tracker.upkeep.doctor import Finding, examine

if TYPE_CHECKING:
    import pandas
    import torch
    from torch import nn

    from tracker.loading.report import LoadReport
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
        state: More to resume from: objects with ``state_dict()``, or plain values, by name.
        tags: Text by name.
        example_input: A small input: a tensor, a tuple of positional or a dict of keyword
            arguments. It is stored with the model's output for it in eval mode, so that loading
            can tell whether the model still computes the same. The model is run twice and left as
            it was.
        torchscript: Keep a model that is a program of ``torch.jit`` in torch's own format; loading
            it takes ``trust="torchscript"``.
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
    from tracker.saving.request import check_request

    request = check_request(epoch, step, metrics, tags)
    ticket = accept(
        model,
        request,
        optimizer=optimizer,
        scheduler=scheduler,
        state=state,
        example_input=example_input,
        torchscript=torchscript,
        run_id=run_id,
        wait=wait,
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


@overload
def search_checkpoints(
    filter_string: str = "",
    *,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    order_by: Sequence[str] | None = None,
    max_results: int | None = 100,
    offset: int = 0,
    output_format: Literal["list"] = "list",
) -> list[Checkpoint]: ...


@overload
def search_checkpoints(
    filter_string: str = "",
    *,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    order_by: Sequence[str] | None = None,
    max_results: int | None = 100,
    offset: int = 0,
    output_format: Literal["pandas"],
) -> pandas.DataFrame: ...


def search_checkpoints(
    filter_string: str = "",
    *,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    order_by: Sequence[str] | None = None,
    max_results: int | None = 100,
    offset: int = 0,
    output_format: Literal["list", "pandas"] = "list",
) -> list[Checkpoint] | pandas.DataFrame:
    """Return the checkpoints that match a filter in MLflow's search syntax.

    Args:
        filter_string: For example ``"metrics.val_loss < 0.3 AND params.depth = '7'"``. Fields:
            ``metrics.*``, ``params.*``, ``tags.*`` and ``attributes.*`` (epoch, step, model_class,
            created_at, run_id, experiment_name, size, name).
        experiment: An experiment's name, or several; all by default.
        run_id: Only checkpoints of this run.
        order_by: For example ``["metrics.val_loss ASC"]``; the newest first by default.
        max_results: How many at most; None for all.
        offset: How many to skip. The order is total, so pages neither overlap nor leave gaps, as
            long as nothing is logged in between; add ``attributes.created_at <= …`` if it is.
        output_format: ``"list"``, or ``"pandas"`` for a DataFrame with the columns that
            ``mlflow.search_runs`` has: attributes, ``metrics.*``, ``params.*``, ``tags.*``.

    Raises:
        FilterSyntaxError: The filter or order can't be read; shows where.
        NotFoundError: There is no such experiment or run; lists what exists.

    Example:
        >>> tracker.search_checkpoints("metrics.val_accuracy > 0.9", experiment="digits")
        [<Checkpoint m-0f3c1d2e epoch-6 of Net(hidden=64) in 'digits': val_accuracy=0.97>]
    """
    tickets.wait()
    scope = find.make_scope(experiment, run_id, filter_string)
    if output_format not in ("list", "pandas"):
        raise InvalidArgumentError(f"output_format={output_format!r}: expected 'list' or 'pandas'.")
    records = find.search(
        open_current(), scope, order_by=order_by, max_results=max_results, offset=offset
    )
    return to_frame(records) if output_format == "pandas" else list(map(Checkpoint, records))


def best_checkpoint(
    metric: str,
    *,
    mode: str | None = None,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    filter_string: str = "",
) -> Checkpoint:
    """Return the checkpoint at which a metric was best, over the whole history.

    Checkpoints are ranked by the metric at their own epoch, not by a run's last value. NaN never
    wins; ties go to the earlier epoch.

    Args:
        metric: The metric's name.
        mode: ``"min"`` or ``"max"``; may be left out where the name leaves no doubt (loss,
            accuracy, …).
        experiment: An experiment's name, or several; all by default.
        run_id: Only checkpoints of this run.
        filter_string: See `search_checkpoints`.

    Raises:
        NotFoundError: Nothing matches; lists what exists.
        InvalidArgumentError: The direction is not clear; says how to give it.

    Example:
        >>> model = tracker.best_checkpoint("val_loss", experiment="digits").load_model()
    """
    tickets.wait()
    scope = find.make_scope(experiment, run_id, filter_string)
    return Checkpoint(find.best(open_current(), scope, metric, mode))


def best_checkpoints(
    metric: str,
    *,
    k: int = 10,
    mode: str | None = None,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    filter_string: str = "",
) -> list[Checkpoint]:
    """Return the ``k`` checkpoints at which a metric was best, the best first.

    Args:
        metric: The metric's name.
        k: How many at most.
        mode: See `best_checkpoint`, as all that follows.
        experiment: An experiment's name, or several; all by default.
        run_id: Only checkpoints of this run.
        filter_string: See `search_checkpoints`.

    Raises:
        NotFoundError: Nothing matches; lists what exists.
        InvalidArgumentError: The direction is not clear; says how to give it.

    Example:
        >>> three = tracker.best_checkpoints("val_loss", k=3, experiment="digits")
        >>> ensemble = [checkpoint.load_model() for checkpoint in three]
    """
    tickets.wait()
    scope = find.make_scope(experiment, run_id, filter_string)
    found = find.top(open_current(), scope, metric, mode, k)
    return [Checkpoint(record) for record in found]


def pareto_checkpoints(
    metrics: Mapping[str, str | None],
    *,
    experiment: str | Sequence[str] | None = None,
    run_id: str | None = None,
    filter_string: str = "",
) -> list[Checkpoint]:
    """Return the checkpoints that no other is better than in every one of several metrics.

    A checkpoint is left out if another is at least as good in all the metrics and better in one
    (the Pareto front). Equal ones are all returned; one that lacks a metric, or has a NaN, is not.

    Args:
        metrics: Two metrics or more, each with ``"min"``, ``"max"``, or None where the name leaves
            no doubt.
        experiment: An experiment's name, or several; all by default.
        run_id: Only checkpoints of this run.
        filter_string: See `search_checkpoints`; what does not match beats none.

    Returns:
        The checkpoints, the best in the first metric first.

    Raises:
        NotFoundError: No checkpoint has all the metrics; lists what exists.
        InvalidArgumentError: A direction is not clear; says how to give it.

    Example:
        >>> tracker.pareto_checkpoints({"val_loss": "min", "milliseconds": "min"})
    """
    tickets.wait()
    scope = find.make_scope(experiment, run_id, filter_string)
    return [Checkpoint(record) for record in find.pareto(open_current(), scope, metrics)]


def best_of_each_run(
    metric: str,
    *,
    mode: str | None = None,
    experiment: str | Sequence[str] | None = None,
    filter_string: str = "",
    max_results: int | None = 100,
) -> list[Checkpoint]:
    """Return the checkpoint of every run at which a metric was best, the best run first.

    Runs that do not have the metric, or NaN alone, are left out.

    Args:
        metric: The metric's name.
        mode: See `best_checkpoint`, as all that follows.
        experiment: An experiment's name, or several; all by default.
        filter_string: See `search_checkpoints`; of each run the best that matches is returned.
        max_results: How many runs at most; None for all.

    Raises:
        NotFoundError: Nothing matches; lists what exists.
        InvalidArgumentError: The direction is not clear; says how to give it.

    Example:
        >>> for checkpoint in tracker.best_of_each_run("val_loss", experiment="digits"):
        ...     print(checkpoint.run_id, checkpoint.epoch, checkpoint.metrics["val_loss"])
    """
    tickets.wait()
    scope = find.make_scope(experiment, None, filter_string)
    found = find.best_of_each_run(open_current(), scope, metric, mode, max_results=max_results)
    return [Checkpoint(record) for record in found]


def metric_history(
    run_ids: Sequence[str], metric: str
) -> dict[str, list[tuple[int | None, float]]]:
    """Return by run the values of a metric over its epochs, for a sparkline; NaN included."""
    return find.history(open_current(), run_ids, metric)


def get_checkpoint(
    run_id: str | None = None,
    *,
    epoch: int | None = None,
    step: int | None = None,
    experiment: str | Sequence[str] | None = None,
) -> Checkpoint:
    """Return the checkpoint of an epoch or step; the latest if neither is given.

    Where several runs match, the newest run's is returned; name one with ``run_id``.

    Raises:
        NotFoundError: There is none; lists the epochs, runs or experiments that exist.
        InvalidArgumentError: The run has checkpoints of several models there; lists them.

    Example:
        >>> tracker.get_checkpoint(run_id, epoch=6).load_model()
    """
    tickets.wait()
    scope = find.make_scope(experiment, run_id)
    return Checkpoint(find.get(open_current(), scope, epoch=epoch, step=step))


def load_model(
    source: Checkpoint | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> nn.Module:
    """Rebuild the model of a checkpoint, in eval mode. See `Checkpoint.load_model`.

    Args:
        source: A checkpoint; its id or a unique beginning of it; ``runs:/RUN_ID/epoch-6``;
            ``models:/NAME@alias``, ``models:/NAME/VERSION`` or ``models:/m-…``.
        device: Where its tensors go.
        dtype: What its floating-point tensors are converted to.
        trust: What the checkpoint may refer to beyond its own package.
        classes: Classes by name, where they are not importable.
        verify: Compare every byte with its digest first.

    Example:
        >>> model = tracker.load_model("runs:/0a1b2c/epoch-6")
    """
    return as_checkpoint(source).load_model(
        device=device, dtype=dtype, trust=trust, classes=classes, verify=verify
    )


def resume(
    source: Checkpoint | str,
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Load a checkpoint's weights and training state into live objects and return it.

    Everything is compared first: if something does not fit, nothing is changed.

    Args:
        source: See `load_model`.
        model: The model, made as the training script makes it.
        optimizer: Takes the optimizer's state, if given.
        scheduler: Takes the scheduler's state, if given.
        state: Objects that were logged as ``state=``, by the same names.

    Raises:
        MismatchError: Something does not fit; names it.

    Example:
        >>> checkpoint = tracker.resume("m-0f3c", model=model, optimizer=optimizer)
        >>> for epoch in range(checkpoint.epoch + 1, 10):
        ...     train(model, optimizer)
    """
    checkpoint = as_checkpoint(source)
    checkpoint.resume(model=model, optimizer=optimizer, scheduler=scheduler, state=state)
    return checkpoint


def as_checkpoint(source: Checkpoint | str) -> Checkpoint:
    """Return the checkpoint that ``source`` is or names; see `load_model`."""
    if isinstance(source, Checkpoint):
        return source
    if not isinstance(source, str):
        raise InvalidArgumentError(
            f"source is a {type(source).__name__}; expected a Checkpoint, an id or a URI."
        )
    tickets.wait()
    return Checkpoint(resolve(source))


def explain_if_at_hand(checkpoint: Checkpoint) -> LoadReport | None:
    """Return `Checkpoint.explain`, made in another process; None if its files are elsewhere."""
    return explain_apart(checkpoint.record, download=False)


def check_checkpoints(
    sources: Sequence[str] = (), *, trust: Collection[str] = (), weights: bool = True
) -> Iterator[Checked]:
    """Rebuild checkpoints with the code that is importable now, each in a process of its own.

    Args:
        sources: See `load_model`; if empty, every version of a registered model that has an alias
            and was made from a checkpoint.
        trust: See `load_model`.
        weights: Whether to read the weights; without them only the architecture is rebuilt.

    Raises:
        RecordError: MLflow can't be reached.
    """
    return check(sources, trust=trust, weights=weights)


def verify_checkpoints(sources: Iterable[Checkpoint | str]) -> Iterator[Verified]:
    """Read every byte of checkpoints again and compare it with its digest; yield what was found.

    One that is damaged, or not there, does not keep the others from being read.

    Args:
        sources: See `load_model`.
    """
    for source in sources:
        try:
            record = as_checkpoint(source).record
        except TrackerError as error:
            yield Verified(str(source), None, "", condition_of(error), str(error))
        else:
            yield verify(record)


def fetch_checkpoint(source: Checkpoint | str) -> Path:
    """Return the folder that has a checkpoint's files; those of a remote store are fetched into it.

    Args:
        source: See `load_model`.

    Raises:
        NotFoundError: The files are gone.
        RecordError: The artifact store can't be reached.
    """
    from tracker.loading.fetch import fetch, verified

    return fetch(as_checkpoint(source).record, check=verified(None)).directory


def upgrade_database() -> Upgraded:
    """Create or upgrade the catalog's tables in the database in force."""
    return upgrade()


def update_mirror(seen: mirror.Seen) -> bool:
    """Bring the mirror of a tracking server up to date; return whether the catalog is one.

    Queries do so by themselves; the first time it may take long.

    Args:
        seen: Called with the number of checkpoints of each page that was entered.

    Raises:
        RecordError: MLflow can't be reached.
        CatalogError: The mirror can't be used.
    """
    return mirror.update_if_mirror(seen)


def reindex(seen: mirror.Seen = lambda count: None) -> int:
    """Make the catalog what MLflow holds; return how many checkpoints that are.

    Runs and experiments that were deleted or restored, renamed experiments, and metrics that were
    logged later are found.

    Args:
        seen: Called with the number of checkpoints of each page that was entered.

    Raises:
        RecordError: MLflow can't be reached.
        CatalogError: The catalog can't be used.
    """
    tickets.wait()
    return mirror.reindex(seen)


def sync(watch: Watch | None = None) -> list[Outcome]:
    """Send every checkpoint to MLflow that waits on this disk; return what became of each.

    Args:
        watch: Called before each is sent; what it returns is called with the bytes that were sent.

    Raises:
        StorageError: The disk refused.
    """
    from tracker.saving import sync as everything

    return everything.sync(watch) if watch is not None else everything.sync()


def diagnose() -> list[Finding]:
    """Return what tracking store, catalog, artifact store and versions are in force."""
    return examine()
