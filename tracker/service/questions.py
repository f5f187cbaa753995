"""The questions that the tracker service answers, as those of `tracker.loading.find`.

A place is where to look: ``experiments`` (names, or None), ``run_id`` and ``filter``. Arguments
have been looked at; whatever is wrong with names and filters the service says, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tracker.errors import CatalogError
from tracker.service.client import get, post
from tracker.service.location import Service
from tracker.service.wire import (
    MOST_RESULTS,
    number_from_json,
    record_from_json,
)
from tracker.types import CheckpointRecord

Place: TypeAlias = Mapping[str, Any]


def search(
    service: Service,
    place: Place,
    *,
    order_by: Sequence[str],
    max_results: int | None,
    offset: int,
) -> tuple[list[CheckpointRecord], str]:
    """Return the checkpoints that match, and a note if there are none."""
    question = {**place, "order_by": list(order_by) or None}
    return _paged(service, "search", question, max_results, offset)


def top(
    service: Service, place: Place, metric: str, mode: str | None, k: int
) -> list[CheckpointRecord]:
    """Return the best by a metric, the best first; ten thousand at most."""
    return _records(post(service, "best", {**place, "metric": metric, "mode": mode, "k": k}))


def best_of_each_run(
    service: Service,
    place: Place,
    metric: str,
    mode: str | None,
    *,
    max_results: int | None,
    offset: int,
) -> list[CheckpointRecord]:
    """Return the best of each run, the best run first."""
    question = {**place, "metric": metric, "mode": mode}
    return _paged(service, "best-of-each-run", question, max_results, offset)[0]


def pareto(
    service: Service, place: Place, modes: Mapping[str, str | None]
) -> list[CheckpointRecord]:
    """Return those that none beats in all metrics."""
    return _records(post(service, "pareto", {**place, "metrics": dict(modes)}))


def history(
    service: Service, run_ids: Sequence[str], metric: str
) -> dict[str, list[tuple[int | None, float]]]:
    """Return by run the values of a metric over its epochs."""
    values: dict[str, list[tuple[int | None, float]]] = {run_id: [] for run_id in run_ids}
    wanted = list(values)
    for start in range(0, len(wanted), MOST_RESULTS):
        part = wanted[start : start + MOST_RESULTS]
        answer = post(service, "history", {"run_ids": part, "metric": metric})
        for run_id, points in answer["history"].items():
            values[run_id] = [(each["epoch"], number_from_json(each["value"])) for each in points]
    return values


def checkpoint(service: Service, place: Place, **which: Any) -> CheckpointRecord:
    """Return the checkpoint of an ``epoch``, a ``step`` or a ``name``, or the latest."""
    query = {"experiment": place["experiments"], "run_id": place["run_id"], **which}
    return record_from_json(get(service, "checkpoint", query))


def by_id(service: Service, identifier: str) -> CheckpointRecord:
    """Return the checkpoint of an id, or of the beginning of one."""
    return record_from_json(get(service, "checkpoints", {"id": identifier}))


def experiments(service: Service) -> list[str]:
    """Return the names of the experiments that have checkpoints, sorted."""
    return sorted(each["name"] for each in get(service, "experiments", {})["experiments"])


def runs(service: Service, experiments: Sequence[str], limit: int) -> list[str]:
    """Return the runs with the newest checkpoints."""
    query = {"experiment": list(experiments) or None, "max_results": limit}
    return list(get(service, "runs", query)["names"])


def metrics(service: Service, experiments: Sequence[str]) -> list[str]:
    """Return the names of metrics."""
    return list(get(service, "metrics", {"experiment": list(experiments) or None})["names"])


def viewer(service: Service) -> str | None:
    """Return the name that MLflow knows us by; None: it knows no users."""
    user = get(service, "viewer", {})["user"]
    return None if user is None else str(user)


def count(service: Service) -> int:
    """Return how many checkpoints there are, as far as we may see them."""
    return int(get(service, "statistics", {})["checkpoints"])


def _paged(
    service: Service, path: str, question: Place, max_results: int | None, offset: int
) -> tuple[list[CheckpointRecord], str]:
    found: dict[str, CheckpointRecord] = {}
    note = ""
    while max_results is None or len(found) < max_results:
        left = MOST_RESULTS if max_results is None else max_results - len(found)
        size = min(MOST_RESULTS, left)
        answer = post(service, path, {**question, "max_results": size, "offset": offset})
        page = _records(answer)
        note = answer.get("note") or ""
        # What is logged between two pages moves some of the one to the other.
        found.update((record.id, record) for record in page if record.id not in found)
        offset += len(page)
        if len(page) < size:
            break
    return list(found.values()), note


def _records(answer: Mapping[str, Any]) -> list[CheckpointRecord]:
    records = answer.get("checkpoints")
    if not isinstance(records, list):
        raise CatalogError("The tracker service answered with something that is no list.")
    return [record_from_json(each) for each in records]
