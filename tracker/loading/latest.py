"""The newest checkpoint of a run or experiment from which a training can go on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from tracker.architecture.generated import named_class
from tracker.architecture.references import public_module_name
from tracker.architecture.torchscript import is_script
from tracker.architecture.wrappers import unwrapped
from tracker.errors import FormatError, NewerFormatError, NotFoundError, TrackerWarning
from tracker.loading import find
from tracker.loading.into import check_model
from tracker.loading.mirror import open_current
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.catalog import Scope

_PAGE = 20


def newest(
    model: nn.Module, run_id: str | None, experiment: str | None
) -> Iterator[CheckpointRecord]:
    """Yield the checkpoints of a model's class, the newest first.

    Args:
        model: The model that is trained.
        run_id: Those of this run; by default of the active one, or ``MLFLOW_RUN_ID``.
        experiment: Those of this experiment; by default, where there is no run either, of the one
            in which a run would be started.

    Raises:
        InvalidArgumentError: An argument is not usable.
        CatalogError: The catalog can't be used.
        RecordError: MLflow can't be reached.
    """
    check_model(model)
    place = find.make_scope(experiment, run_id)
    try:
        source = open_current()
        if run_id is None and experiment is None:
            place = _place_in_force()
    except NotFoundError:  # no database yet, or no such experiment
        return
    kind = _class_of(model)
    value = kind.replace("'", "''")
    scope = replace(place, filter_string=f"attributes.model_class = '{value}'")
    seen = 0
    while True:
        try:
            page, _ = find.search_with_note(
                source, scope, order_by=None, max_results=_PAGE, offset=seen
            )
        except NotFoundError:  # nothing was logged there so far
            return
        yield from page
        seen += len(page)
        if len(page) < _PAGE:
            break
    if not seen:
        _warn_of_others(find.search_with_note(source, place, order_by=None, max_results=1)[0], kind)


def _class_of(model: nn.Module) -> str:
    """Return a model's class as the catalog has it."""
    inner = unwrapped(model)
    if is_script(inner):
        return f"torchscript:{getattr(inner, 'original_name', type(inner).__name__)}"
    kind = named_class(inner)
    return f"{public_module_name(kind.__module__)}:{kind.__qualname__}"


def _place_in_force() -> Scope:
    from tracker.record import experiments, runs

    run_id = runs.active_run_id() or os.environ.get("MLFLOW_RUN_ID")
    if run_id:
        return find.make_scope(None, run_id)
    return find.make_scope(experiments.in_force(), None)


def _warn_of_others(others: list[CheckpointRecord], kind: str) -> None:
    if others:
        warnings.warn(
            f"There are checkpoints, but none of a {kind}; the newest is {others[0].id[:10]}, "
            f"{others[0].name} of {others[0].model_text}. Training begins anew.",
            TrackerWarning,
            stacklevel=5,
        )


def first_usable(
    records: Iterator[CheckpointRecord], resume: Callable[[CheckpointRecord], object]
) -> CheckpointRecord | None:
    """Return the first checkpoint that can be resumed; warn of those that are damaged or gone.

    Args:
        records: The newest first.
        resume: Resumes from one.

    Returns:
        The one that was resumed; None if there are none at all.

    Raises:
        FormatError: All are damaged; this is the newest one's.
        NotFoundError: The files of all are gone; this is the newest one's.
    """
    first: Exception | None = None
    for record in records:
        try:
            resume(record)
        except NewerFormatError:
            raise
        except (FormatError, NotFoundError) as error:
            first = first or error
            warnings.warn(
                f"Checkpoint {record.id[:10]}, {record.name} of run {record.run_id}, can't be "
                f"resumed, so the one before it is tried: {error}",
                TrackerWarning,
                stacklevel=3,
            )
        else:
            return record
    if first is not None:
        first.add_note("No earlier checkpoint could be resumed either.")
        raise first
    return None
