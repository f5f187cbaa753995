"""The questions about checkpoints, as JSON: those of `tracker.loading.find`, for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from tracker.errors import InvalidArgumentError
from tracker.loading import find
from tracker.server.shapes import (
    ERRORS,
    BestOfEachRunQuestion,
    BestQuestion,
    CheckpointAnswer,
    CheckpointsAnswer,
    FilterString,
    HistoryAnswer,
    HistoryQuestion,
    Mode,
    ParetoQuestion,
    RunId,
    SearchQuestion,
)
from tracker.server.view import AsSeen
from tracker.service.wire import (
    MOST_RANKED,
    MOST_RESULTS,
    PREFIX,
    number_to_json,
    record_to_json,
)
from tracker.types import CheckpointRecord

router = APIRouter(prefix=PREFIX, tags=["checkpoints"], responses=ERRORS)

InExperiments = Annotated[
    list[str] | None,
    Query(alias="experiment", description="Only in this experiment; may be given several times."),
]


@router.post("/search", summary="Checkpoints that match a filter", response_model=CheckpointsAnswer)
def search(question: SearchQuestion, view: AsSeen) -> JSONResponse:
    """Return the checkpoints that match, the newest first unless ordered otherwise."""
    _check_at_most("max_results", question.max_results, MOST_RESULTS)
    found, note = find.search_with_note(
        view.engine,
        view.scope(question.experiments, question.run_id, question.filter),
        order_by=question.order_by,
        max_results=question.max_results,
        offset=question.offset,
    )
    return _answer(found, note)


@router.get("/search", summary="Checkpoints that match a filter", response_model=CheckpointsAnswer)
def search_by_address(
    view: AsSeen,
    experiment: InExperiments = None,
    run_id: RunId = None,
    filter: FilterString = "",
    order_by: Annotated[list[str] | None, Query()] = None,
    max_results: int = 100,
    offset: int = 0,
) -> JSONResponse:
    """Answer as the POST does."""
    question = SearchQuestion(
        experiments=experiment,
        run_id=run_id,
        filter=filter,
        order_by=order_by,
        max_results=max_results,
        offset=offset,
    )
    return search(question, view)


@router.post("/best", summary="The best by a metric", response_model=CheckpointsAnswer)
def best(question: BestQuestion, view: AsSeen) -> JSONResponse:
    """Return the checkpoints with the best values of a metric at their own step, the best first."""
    _check_at_most("k", question.k, MOST_RANKED)
    scope = view.scope(question.experiments, question.run_id, question.filter)
    return _answer(find.top(view.engine, scope, question.metric, question.mode, question.k))


@router.get("/best", summary="The best by a metric", response_model=CheckpointsAnswer)
def best_by_address(
    view: AsSeen,
    metric: str,
    mode: Mode = None,
    k: int = 1,
    experiment: InExperiments = None,
    run_id: RunId = None,
    filter: FilterString = "",
) -> JSONResponse:
    """Answer as the POST does."""
    question = BestQuestion(
        metric=metric, mode=mode, k=k, experiments=experiment, run_id=run_id, filter=filter
    )
    return best(question, view)


@router.post(
    "/best-of-each-run",
    summary="The best of each run, the best run first",
    response_model=CheckpointsAnswer,
)
def best_of_each_run(question: BestOfEachRunQuestion, view: AsSeen) -> JSONResponse:
    """Return the best checkpoint of every run that has the metric."""
    _check_at_most("max_results", question.max_results, MOST_RESULTS)
    found = find.best_of_each_run(
        view.engine,
        view.scope(question.experiments, question.run_id, question.filter),
        question.metric,
        question.mode,
        max_results=question.max_results,
        offset=question.offset,
    )
    return _answer(found)


@router.get(
    "/best-of-each-run",
    summary="The best of each run, the best run first",
    response_model=CheckpointsAnswer,
)
def best_of_each_run_by_address(
    view: AsSeen,
    metric: str,
    mode: Mode = None,
    experiment: InExperiments = None,
    run_id: RunId = None,
    filter: FilterString = "",
    max_results: int = 100,
    offset: int = 0,
) -> JSONResponse:
    """Answer as the POST does."""
    question = BestOfEachRunQuestion(
        metric=metric,
        mode=mode,
        experiments=experiment,
        run_id=run_id,
        filter=filter,
        max_results=max_results,
        offset=offset,
    )
    return best_of_each_run(question, view)


@router.post(
    "/pareto", summary="Those that none beats in all metrics", response_model=CheckpointsAnswer
)
def pareto(question: ParetoQuestion, view: AsSeen) -> JSONResponse:
    """Return the checkpoints that no other is better than in every one of several metrics."""
    scope = view.scope(question.experiments, question.run_id, question.filter)
    found = find.pareto(view.engine, scope, question.metrics)
    if len(found) > MOST_RANKED:
        raise InvalidArgumentError(
            f"{len(found):,} checkpoints are on the front, and an answer has {MOST_RANKED:,} at "
            "most: name an experiment, or give a filter."
        )
    return _answer(found)


@router.post("/history", summary="A metric over the epochs of runs", response_model=HistoryAnswer)
def history(question: HistoryQuestion, view: AsSeen) -> JSONResponse:
    """Return by run the values over its epochs; a run that you may not see has none."""
    found = find.history(view.engine, question.run_ids, question.metric, view.visible)
    values = {
        run_id: [{"epoch": epoch, "value": number_to_json(value)} for epoch, value in pairs]
        for run_id, pairs in found.items()
    }
    return JSONResponse({"history": values})


@router.get(
    "/checkpoint",
    summary="The checkpoint of an epoch or step, or the latest",
    response_model=CheckpointAnswer,
)
def get(
    view: AsSeen,
    experiment: InExperiments = None,
    run_id: RunId = None,
    epoch: int | None = None,
    step: int | None = None,
    name: Annotated[
        str | None, Query(description="Of a run, instead of epoch and step: `epoch-6`.")
    ] = None,
) -> JSONResponse:
    """Return one checkpoint; of several runs that of the newest."""
    if name is not None:
        if run_id is None or epoch is not None or step is not None or experiment:
            raise InvalidArgumentError(
                "name: it is looked for in one run; give run_id, and no more."
            )
        return _one(find.by_run_and_name(view.engine, run_id, name, view.visible))
    scope = view.scope(experiment, run_id)
    return _one(find.get(view.engine, scope, epoch=epoch, step=step))


@router.get(
    "/checkpoints",
    summary="The checkpoint of an id, or of the beginning of one",
    response_model=CheckpointAnswer,
)
def by_id_of_query(view: AsSeen, id: str) -> JSONResponse:
    """Answer as the address with the id in it does, whatever characters it has."""
    return by_id(id, view)


@router.get(
    "/checkpoints/{identifier}",
    summary="The checkpoint of an id, or of the beginning of one",
    response_model=CheckpointAnswer,
)
def by_id(identifier: str, view: AsSeen) -> JSONResponse:
    """Return the checkpoint of an id, or of a prefix that only one of those you may see has."""
    return _one(find.by_id(view.engine, identifier, view.visible))


def _check_at_most(name: str, value: int, most: int) -> None:
    if value > most:
        raise InvalidArgumentError(f"{name}={value}: the service answers with {most:,} at most.")


def _one(record: CheckpointRecord) -> JSONResponse:
    return JSONResponse(record_to_json(record))


def _answer(records: Sequence[CheckpointRecord], note: str = "") -> JSONResponse:
    content: dict[str, Any] = {"checkpoints": [record_to_json(each) for each in records]}
    return JSONResponse({**content, "note": note or None})
