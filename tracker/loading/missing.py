"""Where nothing matches: the error that says what there is instead, and suggests near names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tracker import catalog
from tracker.catalog.wording import did_you_mean, quoted
from tracker.errors import NotFoundError

if TYPE_CHECKING:
    from tracker.catalog import Engine, Scope

_MAX_LISTED = 10
_RUNS_COMPARED = _NAMES_COUNTED = 1_000


def check_exists(engine: Engine, scope: Scope) -> None:
    """Raise NotFoundError for an experiment or run that the catalog does not know."""
    if scope.experiments:
        known = catalog.experiment_names(engine, scope.visible)
        for name in scope.experiments:
            if name not in known:
                raise NotFoundError(
                    f"No checkpoint was logged in an experiment named {quoted(name)}. "
                    f"{did_you_mean(name, known)}{listed('Experiments', known)}"
                )
    run = replace(scope.everywhere(), run_id=scope.run_id)
    if scope.run_id is not None and catalog.latest(engine, run) is None:
        place = replace(scope.without_filter(), run_id=None)
        runs = catalog.run_ids(engine, place, _RUNS_COMPARED)
        raise NotFoundError(
            f"No checkpoint was logged in a run with the id {quoted(scope.run_id)}. "
            f"{_run_meant(scope.run_id, runs)}{listed('The newest runs', runs[:_MAX_LISTED])}"
        )


def check_metric(engine: Engine, scope: Scope, metric: str) -> None:
    """Raise NotFoundError for a metric that no checkpoint of a scope has, its filter aside."""
    if not catalog.metric_counts(engine, scope.without_filter(), metric):
        known = catalog.metric_names(engine, scope)
        raise NotFoundError(
            f"No checkpoint{where(scope)} has the metric {quoted(metric)}. "
            f"{did_you_mean(metric, known)}{listed('Metrics', known)}"
        )


def nothing_ranked(engine: Engine, scope: Scope, metric: str) -> NotFoundError:
    """Return why no checkpoint of a scope is the best by a metric."""
    check_exists(engine, scope)
    check_metric(engine, scope, metric)
    place = scope.without_filter()
    total, usable = catalog.metric_counts(engine, place, metric).get(metric, (0, 0))
    if not usable:
        return NotFoundError(
            f"The metric {quoted(metric)} is NaN in all {total} checkpoints{where(scope)} that "
            "have it, so none is the best. Look at them with search_checkpoints() or `tracker "
            "list`."
        )
    return NotFoundError(
        f"{usable} checkpoints{where(scope)} have the metric {quoted(metric)}, but none of them "
        f"matches the filter {quoted(scope.filter_string)}. {unknown_names(engine, scope)}".rstrip()
    )


def unknown_names(engine: Engine, scope: Scope) -> str:
    """Return sentences on the names in a scope's filter that no checkpoint has, or nothing."""
    return " ".join(_unknown_names(engine, scope))


def _unknown_names(engine: Engine, scope: Scope) -> Iterator[str]:
    for field in catalog.fields_asked_for(scope.filter_string):
        if field.kind == "attribute":
            continue
        if field.kind == "metric":
            known = catalog.metric_names(engine, scope)
        else:
            known = catalog.text_names(engine, field.kind, scope.visible)
        if field.key not in known:
            place = where(scope) if field.kind == "metric" else ""
            what = f"No checkpoint{place} has the {field.kind} {quoted(field.key)}."
            yield f"{what} {did_you_mean(field.key, known)}".rstrip()


def no_such_epoch(
    engine: Engine, scope: Scope, epoch: int | None, step: int | None
) -> NotFoundError:
    """Return that there is no checkpoint of an epoch or step, with those there are."""
    asked = " and ".join(
        f"{name} {value}" for name, value in (("epoch", epoch), ("step", step)) if value is not None
    )
    message = f"No checkpoint{where(scope)} is of {asked}."
    if epoch is not None and step is not None:
        records = catalog.at(engine, scope, epoch=epoch, step=None)
        if records:
            steps = sorted({record.step for record in records if record.step is not None})
            return NotFoundError(
                f"{message} {listed('Steps of that epoch', list(map(str, steps)))}"
            )
    if epoch is not None:
        known = [str(number) for number in catalog.epochs(engine, scope)]
        return NotFoundError(f"{message} {listed('Epochs', known)}")
    records = catalog.search(engine, scope, max_results=_MAX_LISTED)
    steps = sorted({record.step for record in records if record.step is not None})
    return NotFoundError(f"{message} {listed('Newest steps', [str(s) for s in steps])}")


def no_such_id(engine: Engine, identifier: str, visible: frozenset[str] | None) -> NotFoundError:
    """Return that there is no checkpoint with an id, with the newest there are."""
    newest = catalog.search(engine, catalog.Scope(visible=visible), max_results=_MAX_LISTED)
    ids = [f"{record.id} ({record.experiment}, {record.name})" for record in newest]
    return NotFoundError(
        f"There is no checkpoint with the id {quoted(identifier)}. {listed('The newest', ids)}"
    )


def no_such_name(engine: Engine, scope: Scope, name: str) -> NotFoundError:
    """Return that a run has no checkpoint of a name, with the newest it has."""
    check_exists(engine, scope)
    newest = catalog.search(engine, scope.without_filter(), max_results=_NAMES_COUNTED)
    names = [record.name for record in newest]
    return NotFoundError(
        f"Run {scope.run_id} has no checkpoint named {quoted(name)}. {listed('It has', names)}"
    )


def where(scope: Scope) -> str:
    """Return a scope's run and experiments as they continue a sentence."""
    parts = [f" of run {scope.run_id}"] if scope.run_id else []
    if scope.experiments:
        parts.append(" in " + ", ".join(map(quoted, scope.experiments)))
    return "".join(parts)


def listed(what: str, names: Sequence[str]) -> str:
    """Return names as a sentence, the first twenty."""
    if not names:
        return f"{what}: none."
    more = f" and {len(names) - _MAX_LISTED * 2} more" if len(names) > _MAX_LISTED * 2 else ""
    return f"{what}: {', '.join(names[: _MAX_LISTED * 2])}{more}."


def _run_meant(run_id: str, runs: Sequence[str]) -> str:
    # Somebody who copied the beginning of an id is not near by any count of letters.
    begin = [run for run in runs if run_id and run.startswith(run_id)]
    if 0 < len(begin) <= 3:
        return f"Did you mean {' or '.join(begin)}? "
    return did_you_mean(run_id, runs)
