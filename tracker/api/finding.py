"""Finding checkpoints. A query first waits for what this process has handed over, so that it
sees its own checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, overload

from tracker.checkpoint import Checkpoint
from tracker.errors import InvalidArgumentError
from tracker.loading import find
from tracker.loading.at_once import best_at_once
from tracker.loading.frame import to_frame
from tracker.loading.mirror import open_current
from tracker.loading.resolve import resolve
from tracker.registry.version import RegisteredVersion
from tracker.saving import tickets

if TYPE_CHECKING:
    import pandas


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
    record = best_at_once(
        metric, mode, experiment=experiment, run_id=run_id, filter_string=filter_string
    )
    if record is None:
        scope = find.make_scope(experiment, run_id, filter_string)
        record = find.best(open_current(), scope, metric, mode)
    return Checkpoint(record)


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
    offset: int = 0,
) -> list[Checkpoint]:
    """Return the checkpoint of every run at which a metric was best, the best run first.

    Runs that do not have the metric, or NaN alone, are left out.

    Args:
        metric: The metric's name.
        mode: See `best_checkpoint`, as all that follows.
        experiment: An experiment's name, or several; all by default.
        filter_string: See `search_checkpoints`; of each run the best that matches is returned.
        max_results: How many runs at most; None for all.
        offset: How many runs to skip.

    Raises:
        NotFoundError: Nothing matches; lists what exists.
        InvalidArgumentError: The direction is not clear; says how to give it.

    Example:
        >>> for checkpoint in tracker.best_of_each_run("val_loss", experiment="digits"):
        ...     print(checkpoint.run_id, checkpoint.epoch, checkpoint.metrics["val_loss"])
    """
    tickets.wait()
    scope = find.make_scope(experiment, None, filter_string)
    found = find.best_of_each_run(
        open_current(), scope, metric, mode, max_results=max_results, offset=offset
    )
    return [Checkpoint(record) for record in found]


def metric_history(
    run_ids: Sequence[str], metric: str
) -> dict[str, list[tuple[int | None, float]]]:
    """Return by run the values of a metric over its epochs, for a sparkline; NaN included.

    The runs are those of an answer: a mirror is not brought up to date once more.
    """
    return find.history(open_current(update_mirror=False), run_ids, metric)


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


def as_checkpoint(source: Checkpoint | RegisteredVersion | str) -> Checkpoint:
    """Return the checkpoint that ``source`` is or names; see `load_model`."""
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, RegisteredVersion):
        source = source.uri
    if not isinstance(source, str):
        raise InvalidArgumentError(
            f"source is a {type(source).__name__}; expected a Checkpoint, an id or a URI."
        )
    tickets.wait()
    return Checkpoint(resolve(source))
