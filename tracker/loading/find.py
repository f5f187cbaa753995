"""Asks the catalog for checkpoints; where nothing matches, says what there is instead."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from tracker import catalog
from tracker.catalog import Engine, Scope
from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.loading.direction import direction
from tracker.types import CheckpointRecord

_MAX_LISTED = 10
_MAX_WHOLE = 2**63 - 1


def make_scope(
    experiment: str | Sequence[str] | None, run_id: str | None, filter_string: str = ""
) -> Scope:
    """Return where to look.

    Raises:
        InvalidArgumentError: An argument is of the wrong type.
    """
    names = (experiment,) if isinstance(experiment, str) else experiment
    if names is not None:
        names = tuple(names) if isinstance(names, Iterable) else ()
        if not names or not all(isinstance(name, str) for name in names):
            raise InvalidArgumentError(
                f"experiment={experiment!r}: expected an experiment's name, or a list of names."
            )
    for name, value in (("run_id", run_id), ("filter_string", filter_string)):
        if value is not None and not isinstance(value, str):
            raise InvalidArgumentError(f"{name}={value!r}: expected text.")
    return Scope(names, run_id, filter_string or "")


def search(
    engine: Engine, scope: Scope, *, order_by: Sequence[str] | None, max_results: int | None
) -> list[CheckpointRecord]:
    """Return the checkpoints that match, the newest first unless ordered otherwise."""
    if max_results is not None and (
        type(max_results) is not int or not 0 < max_results <= _MAX_WHOLE
    ):
        raise InvalidArgumentError(f"max_results={max_results!r}: expected 1 or more, or None.")
    if isinstance(order_by, str):
        order_by = [order_by]
    if not isinstance(order_by or (), Iterable) or not all(
        isinstance(field, str) for field in order_by or ()
    ):
        raise InvalidArgumentError(
            f"order_by={order_by!r}: expected a list such as ['metrics.val_loss ASC']."
        )
    _check_exists(engine, scope)
    return catalog.search(engine, scope, order_by=order_by or (), max_results=max_results)


def best(engine: Engine, scope: Scope, metric: str, mode: str | None) -> CheckpointRecord:
    """Return the checkpoint with the best value of a metric at its own step."""
    if not isinstance(metric, str) or not metric:
        raise InvalidArgumentError(f"metric={metric!r}: expected a metric's name.")
    _check_exists(engine, scope)
    counts = catalog.metric_counts(engine, Scope(scope.experiments, scope.run_id))
    total, usable = counts.get(metric, (0, 0))
    where = _where(scope)
    if not total:
        raise NotFoundError(
            f"No checkpoint{where} has the metric {metric!r}. {_listed('Metrics', sorted(counts))}"
        )
    if not usable:
        raise NotFoundError(
            f"The metric {metric!r} is NaN in all {total} checkpoints{where} that have it, so none "
            "is the best. Look at them with search_checkpoints() or `tracker list`."
        )
    found = catalog.best(engine, scope, metric, direction(metric, mode))
    if found is None:
        raise NotFoundError(
            f"{usable} checkpoints{where} have the metric {metric!r}, but none of them matches the "
            f"filter {scope.filter_string!r}."
        )
    return found


def get(engine: Engine, scope: Scope, *, epoch: int | None, step: int | None) -> CheckpointRecord:
    """Return the checkpoint at an epoch or step, or the latest if neither is given.

    Of several runs the newest counts, and of several steps in an epoch the last. Several models in
    one run are another matter: which one is meant can't be guessed.
    """
    epoch, step = _whole("epoch", epoch), _whole("step", step)
    _check_exists(engine, scope)
    if epoch is None and step is None:
        latest = catalog.latest(engine, scope)
        if latest is None:
            raise NotFoundError(f"No checkpoint{_where(scope)} was logged yet.")
        return latest
    found = catalog.at(engine, scope, epoch=epoch, step=step)
    if not found:
        raise _no_such_epoch(engine, scope, epoch, step)
    newest = max(found, key=lambda r: (r.created_at, r.step or 0, r.id))
    rivals = [r for r in found if r.run_id == newest.run_id and r.model_class != newest.model_class]
    if rivals:
        raise _ambiguous([newest, *rivals])
    return newest


def _whole(name: str, value: Any) -> int | None:
    """Return a number that a script gave, NumPy's included, as an integer."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgumentError(f"{name}={value!r}: expected an integer.")
    if abs(int(value)) > _MAX_WHOLE:
        raise InvalidArgumentError(f"{name}={value} is out of range: no checkpoint can have it.")
    return int(value)


def by_id(engine: Engine, identifier: str) -> CheckpointRecord:
    """Return the checkpoint of an id, or of a prefix that only one id has."""
    found = catalog.by_id(engine, identifier) if identifier else []
    if not found:
        newest = catalog.search(engine, Scope(), max_results=_MAX_LISTED)
        ids = [f"{record.id} ({record.experiment}, {record.name})" for record in newest]
        raise NotFoundError(
            f"There is no checkpoint with the id {identifier!r}. {_listed('The newest', ids)}"
        )
    if len(found) > 1:
        ids = [record.id for record in found]
        raise InvalidArgumentError(
            f"{identifier!r} is the beginning of several ids: {', '.join(ids)}. Give more of it."
        )
    return found[0]


def by_run_and_name(engine: Engine, run_id: str, name: str) -> CheckpointRecord:
    """Return the newest checkpoint of a run with a name such as ``epoch-6``."""
    scope = Scope(run_id=run_id)
    _check_exists(engine, scope)
    records = catalog.search(engine, scope, max_results=None)
    for record in records:
        if record.name == name:
            return record
    names = [record.name for record in records]
    raise NotFoundError(
        f"Run {run_id} has no checkpoint named {name!r}. {_listed('It has', names)}"
    )


def _check_exists(engine: Engine, scope: Scope) -> None:
    """Raise NotFoundError for an experiment or run that the catalog does not know."""
    for name in scope.experiments or ():
        known = catalog.experiment_names(engine)
        if name not in known:
            raise NotFoundError(
                f"No checkpoint was logged in an experiment named {name!r}. "
                f"{_listed('Experiments', known)}"
            )
    if scope.run_id is not None and not catalog.count(engine, Scope(run_id=scope.run_id)):
        runs = catalog.run_ids(engine, Scope(scope.experiments), _MAX_LISTED)
        raise NotFoundError(
            f"No checkpoint was logged in a run with the id {scope.run_id!r}. "
            f"{_listed('The newest runs', runs)}"
        )


def _no_such_epoch(
    engine: Engine, scope: Scope, epoch: int | None, step: int | None
) -> NotFoundError:
    asked = " and ".join(
        f"{name} {value}" for name, value in (("epoch", epoch), ("step", step)) if value is not None
    )
    message = f"No checkpoint{_where(scope)} is of {asked}."
    if epoch is not None and step is not None:
        records = catalog.at(engine, scope, epoch=epoch, step=None)
        if records:
            steps = sorted({record.step for record in records if record.step is not None})
            return NotFoundError(
                f"{message} {_listed('Steps of that epoch', list(map(str, steps)))}"
            )
    if epoch is not None:
        known = [str(number) for number in catalog.epochs(engine, scope)]
        return NotFoundError(f"{message} {_listed('Epochs', known)}")
    records = catalog.search(engine, scope, max_results=_MAX_LISTED)
    steps = sorted({record.step for record in records if record.step is not None})
    return NotFoundError(f"{message} {_listed('Newest steps', [str(s) for s in steps])}")


def _ambiguous(found: list[CheckpointRecord]) -> InvalidArgumentError:
    lines = "\n".join(f"  {r.id}  {r.name}  {r.model_text}" for r in found[:_MAX_LISTED])
    return InvalidArgumentError(
        f"Run {found[0].run_id} has checkpoints of several models there; take one by its id with "
        f"load_model('m-…'), or search_checkpoints(\"attributes.model_class = '…'\"):\n{lines}"
    )


def _where(scope: Scope) -> str:
    parts = [f" of run {scope.run_id}"] if scope.run_id else []
    if scope.experiments:
        parts.append(" in " + ", ".join(map(repr, scope.experiments)))
    return "".join(parts)


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return f"{what}: none."
    more = f" and {len(names) - _MAX_LISTED * 2} more" if len(names) > _MAX_LISTED * 2 else ""
    return f"{what}: {', '.join(names[: _MAX_LISTED * 2])}{more}."
