"""Asks the catalog for checkpoints. Whether a name exists is asked only where nothing was found."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from tracker import catalog
from tracker.catalog.wording import quoted, unstorable
from tracker.direction import direction
from tracker.errors import InvalidArgumentError, NotFoundError, TrackerWarning
from tracker.loading import missing
from tracker.service import questions
from tracker.service.location import Service
from tracker.types import CheckpointRecord, Mode

if TYPE_CHECKING:
    from tracker.catalog import Engine, Scope

    Source: TypeAlias = Engine | Service
    """Whom to ask: a catalog, or a service that asks its own the same."""

_MAX_LISTED = 10
_MAX_WHOLE = 2**63 - 1
_MAX_TOP = 1_000_000
_MAX_METRICS = 16


def make_scope(
    experiment: str | Sequence[str] | None,
    run_id: str | None,
    filter_string: str = "",
    visible: frozenset[str] | None = None,
) -> Scope:
    """Return where to look, and what may be seen there.

    Raises:
        InvalidArgumentError: An argument is of the wrong type, or can't be a name.
    """
    names = (experiment,) if isinstance(experiment, str) else experiment
    if names is not None:
        names = tuple(names) if isinstance(names, Iterable) else ()
        if not names or not all(isinstance(name, str) for name in names):
            raise InvalidArgumentError(
                f"experiment={experiment!r}: expected an experiment's name, or a list of names."
            )
        for each in names:
            _check_storable("experiment", each)
    for name, value in (("run_id", run_id), ("filter_string", filter_string)):
        if value is not None and not isinstance(value, str):
            raise InvalidArgumentError(f"{name}={value!r}: expected text.")
    if run_id is not None:
        _check_storable("run_id", run_id)
    return catalog.Scope(names, run_id, filter_string or "", visible)


def search(
    engine: Source,
    scope: Scope,
    *,
    order_by: Sequence[str] | None,
    max_results: int | None,
    offset: int = 0,
) -> list[CheckpointRecord]:
    """Return the checkpoints that match, the newest first unless ordered otherwise."""
    found, note = search_with_note(
        engine, scope, order_by=order_by, max_results=max_results, offset=offset
    )
    if note:
        warnings.warn(f"Nothing was found. {note}", TrackerWarning, stacklevel=3)
    return found


def search_with_note(
    engine: Source,
    scope: Scope,
    *,
    order_by: Sequence[str] | None,
    max_results: int | None,
    offset: int = 0,
) -> tuple[list[CheckpointRecord], str]:
    """Return what `search` does; and if that is nothing, which names of the filter nothing has."""
    limit, skipped = _limit(max_results), _offset(offset)
    if isinstance(order_by, str):
        order_by = [order_by]
    if not isinstance(order_by or (), Iterable) or not all(
        isinstance(field, str) for field in order_by or ()
    ):
        raise InvalidArgumentError(
            f"order_by={order_by!r}: expected a list such as ['metrics.val_loss ASC']."
        )
    if isinstance(engine, Service):
        return questions.search(
            engine, _place(scope), order_by=order_by or (), max_results=limit, offset=skipped
        )
    _check_all_exist(engine, scope)
    found = catalog.search(
        engine, scope, order_by=order_by or (), max_results=limit, offset=skipped
    )
    if not found and not skipped:
        missing.check_exists(engine, scope)
        return [], missing.unknown_names(engine, scope)
    return found, ""


def best(engine: Source, scope: Scope, metric: str, mode: str | None) -> CheckpointRecord:
    """Return the checkpoint with the best value of a metric at its own step."""
    return top(engine, scope, metric, mode, 1)[0]


def top(
    engine: Source, scope: Scope, metric: str, mode: str | None, k: int
) -> list[CheckpointRecord]:
    """Return the checkpoints with the best values of a metric, the best first; at least one."""
    if (_limit(k, "k") or 0) > _MAX_TOP:
        raise InvalidArgumentError(f"k={k}: expected {_MAX_TOP:,} at most.")
    _check_metric(metric)
    if isinstance(engine, Service):
        return questions.top(engine, _place(scope), metric, _text_mode(mode), int(k))
    towards = _mode(engine, scope, metric, mode)
    found = catalog.top(engine, scope, metric, towards, int(k))
    if not found:
        raise missing.nothing_ranked(engine, scope, metric)
    return found


def best_of_each_run(
    engine: Source,
    scope: Scope,
    metric: str,
    mode: str | None,
    *,
    max_results: int | None,
    offset: int = 0,
) -> list[CheckpointRecord]:
    """Return the best checkpoint of every run that has the metric, the best run first."""
    limit, skipped = _limit(max_results), _offset(offset)
    _check_metric(metric)
    if isinstance(engine, Service):
        return questions.best_of_each_run(
            engine, _place(scope), metric, _text_mode(mode), max_results=limit, offset=skipped
        )
    towards = _mode(engine, scope, metric, mode)
    found = catalog.best_of_each_run(engine, scope, metric, towards, limit=limit, offset=skipped)
    if not found and catalog.best(engine, scope, metric, towards) is None:
        raise missing.nothing_ranked(engine, scope, metric)
    return found


def pareto(engine: Source, scope: Scope, modes: Mapping[str, str | None]) -> list[CheckpointRecord]:
    """Return the checkpoints that no other beats in all metrics; at least one."""
    if not isinstance(modes, Mapping) or not 2 <= len(modes) <= _MAX_METRICS:
        raise InvalidArgumentError(
            f"metrics: expected a mapping of 2 to {_MAX_METRICS} metrics to 'min', 'max' or None, "
            "such as {'val_loss': 'min', 'accuracy': 'max'}."
        )
    for metric in modes:
        _check_metric(metric)
    if isinstance(engine, Service):
        directions = {metric: _text_mode(mode) for metric, mode in modes.items()}
        return questions.pareto(engine, _place(scope), directions)
    towards = {metric: _mode(engine, scope, metric, mode) for metric, mode in modes.items()}
    found = catalog.pareto(engine, scope, towards)
    if not found:
        for metric in towards:
            if catalog.best(engine, scope, metric, towards[metric]) is None:
                raise missing.nothing_ranked(engine, scope, metric)
        raise NotFoundError(
            f"No checkpoint{missing.where(scope)} has a number for all of "
            f"{', '.join(map(quoted, towards))}."
        )
    return found


def history(
    engine: Source,
    run_ids: Sequence[str],
    metric: str,
    visible: frozenset[str] | None = None,
) -> dict[str, list[tuple[int | None, float]]]:
    """Return by run the values of a metric over its epochs; see `tracker.catalog.history`."""
    for text in (metric, *run_ids):
        _check_storable("The name", text)
    if isinstance(engine, Service):
        return questions.history(engine, run_ids, metric)
    return catalog.history(engine, run_ids, metric, visible)


def get(engine: Source, scope: Scope, *, epoch: int | None, step: int | None) -> CheckpointRecord:
    """Return the checkpoint at an epoch or step, or the latest if neither is given.

    Of several runs the newest counts, and of several steps in an epoch the last. Several models in
    one run are another matter: which one is meant can't be guessed.
    """
    epoch, step = _whole("epoch", epoch), _whole("step", step)
    if isinstance(engine, Service):
        return questions.checkpoint(engine, _place(scope), epoch=epoch, step=step)
    _check_all_exist(engine, scope)
    if epoch is None and step is None:
        latest = catalog.latest(engine, scope)
        if latest is None:
            missing.check_exists(engine, scope)
            raise NotFoundError(f"No checkpoint{missing.where(scope)} was logged yet.")
        return latest
    # Of all runs there may be thousands; the newest of them tells which run it is.
    some = 1 if scope.run_id is None else None
    found = catalog.at(engine, scope, epoch=epoch, step=step, limit=some)
    if not found:
        missing.check_exists(engine, scope)
        raise missing.no_such_epoch(engine, scope, epoch, step)
    if some:
        run = replace(scope.everywhere(), run_id=found[0].run_id)
        found = catalog.at(engine, run, epoch=epoch, step=step)
    newest = max(found, key=lambda r: (r.created_at, r.step or 0, r.id))
    rivals = [record for record in found if record.model_class != newest.model_class]
    if rivals:
        raise _ambiguous([newest, *rivals])
    return newest


def _whole(name: str, value: Any) -> int | None:
    """Return a number that a script gave, NumPy's included, as an integer."""
    if value is None:
        return None
    if not _is_whole(value):
        raise InvalidArgumentError(f"{name}={value!r}: expected an integer.")
    if abs(int(value)) > _MAX_WHOLE:
        raise InvalidArgumentError(f"{name}={value} is out of range: no checkpoint can have it.")
    return int(value)


def by_id(
    engine: Source, identifier: str, visible: frozenset[str] | None = None
) -> CheckpointRecord:
    """Return the checkpoint of an id, or of a prefix that only one id has."""
    _check_storable("The id", identifier)
    if isinstance(engine, Service):
        return questions.by_id(engine, identifier)
    found = catalog.by_id(engine, identifier, visible) if identifier else []
    if not found:
        raise missing.no_such_id(engine, identifier, visible)
    if len(found) > 1:
        ids = [record.id for record in found]
        raise InvalidArgumentError(
            f"{identifier!r} is the beginning of several ids: {', '.join(ids)}. Give more of it."
        )
    return found[0]


def by_run_and_name(
    engine: Source, run_id: str, name: str, visible: frozenset[str] | None = None
) -> CheckpointRecord:
    """Return the newest checkpoint of a run with a name such as ``epoch-6``."""
    _check_storable("The run's id", run_id)
    _check_storable("The name", name)
    if isinstance(engine, Service):
        return questions.checkpoint(engine, _place(make_scope(None, run_id)), name=name)
    value = name.replace("'", "''")
    scope = catalog.Scope(None, run_id, f"name = '{value}'", visible)
    found = catalog.search(engine, scope, max_results=1)
    if not found:
        raise missing.no_such_name(engine, scope, name)
    return found[0]


def _mode(engine: Engine, scope: Scope, metric: str, mode: str | None) -> Mode:
    """Return in which direction to look."""
    _check_all_exist(engine, scope)
    try:
        return direction(metric, mode)
    except InvalidArgumentError:
        # A name that does not exist is the better reason.
        missing.check_exists(engine, scope)
        missing.check_metric(engine, scope, metric)
        raise


def _place(scope: Scope) -> dict[str, Any]:
    names = None if scope.experiments is None else list(scope.experiments)
    return {"experiments": names, "run_id": scope.run_id, "filter": scope.filter_string}


def _text_mode(mode: Any) -> str | None:
    """Return a mode as a service takes it, which says itself what else is wrong with it.

    Raises:
        InvalidArgumentError: It is no text.
    """
    return mode if mode is None or isinstance(mode, str) else direction("loss", mode)


def _check_metric(metric: Any) -> None:
    if not isinstance(metric, str) or not metric:
        raise InvalidArgumentError(f"metric={metric!r}: expected a metric's name.")
    _check_storable("metric", metric)


def _check_all_exist(engine: Engine, scope: Scope) -> None:
    # Of one experiment an empty answer tells; of several, one may be missing in a full one.
    if scope.experiments is not None and len(scope.experiments) > 1:
        missing.check_exists(engine, scope)


def _check_storable(name: str, text: str) -> None:
    found = unstorable(text)
    if found is not None:
        raise InvalidArgumentError(
            f"{name}={quoted(text)}: the character {found[0]!r} can't be in a database, so nothing "
            "has such a name."
        )


def _limit(value: Any, name: str = "max_results") -> int | None:
    if value is None and name == "max_results":
        return None
    if _is_whole(value) and 0 < value <= _MAX_WHOLE:
        return int(value)
    or_none = ", or None" if name == "max_results" else ""
    raise InvalidArgumentError(f"{name}={value!r}: expected 1 or more{or_none}.")


def _offset(value: Any) -> int:
    if _is_whole(value) and 0 <= value <= _MAX_WHOLE:
        return int(value)
    raise InvalidArgumentError(f"offset={value!r}: expected 0 or more.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _ambiguous(found: list[CheckpointRecord]) -> InvalidArgumentError:
    lines = "\n".join(f"  {r.id}  {r.name}  {r.model_text}" for r in found[:_MAX_LISTED])
    return InvalidArgumentError(
        f"Run {found[0].run_id} has checkpoints of several models there; take one by its id with "
        f"load_model('m-…'), or search_checkpoints(\"attributes.model_class = '…'\"):\n{lines}"
    )
