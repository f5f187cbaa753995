"""What there is to ask about, as JSON: experiments, runs, metrics, numbers; and who asks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse

from tracker import catalog
from tracker.server.checkpoints import InExperiments
from tracker.server.shapes import (
    ERRORS,
    ExperimentsAnswer,
    NamesAnswer,
    RunId,
    StatisticsAnswer,
    ViewerAnswer,
)
from tracker.server.view import AsSeen
from tracker.server.viewer import Viewer, current_viewer
from tracker.service.wire import MOST_RESULTS, PREFIX

router = APIRouter(prefix=PREFIX, tags=["places"], responses=ERRORS)


@router.get("/viewer", summary="Who you are", response_model=ViewerAnswer)
def viewer(viewer: Annotated[Viewer, Depends(current_viewer)]) -> JSONResponse:
    """Return the name that MLflow knows you by, and how many experiments you may read."""
    return JSONResponse({"user": viewer.user, "experiments": len(viewer.experiments)})


@router.get(
    "/experiments", summary="Experiments that have checkpoints", response_model=ExperimentsAnswer
)
def experiments(view: AsSeen) -> JSONResponse:
    """Return the experiments that you may see, the most recently used first."""
    found = catalog.experiment_summaries(view.engine, view.scope())
    return JSONResponse({"experiments": [asdict(each) for each in found]})


@router.get("/runs", summary="Ids of runs that have checkpoints", response_model=NamesAnswer)
def runs(
    view: AsSeen,
    experiment: InExperiments = None,
    max_results: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 100,
) -> JSONResponse:
    """Return the runs with the newest checkpoints."""
    return JSONResponse(
        {"names": catalog.run_ids(view.engine, view.scope(experiment), max_results)}
    )


@router.get("/metrics", summary="Names of metrics", response_model=NamesAnswer)
def metrics(view: AsSeen, experiment: InExperiments = None, run_id: RunId = None) -> JSONResponse:
    """Return the names of the metrics that checkpoints have."""
    return JSONResponse(
        {"names": catalog.metric_names(view.engine, view.scope(experiment, run_id))}
    )


@router.get("/statistics", summary="How much there is", response_model=StatisticsAnswer)
def statistics(
    view: AsSeen, experiment: InExperiments = None, run_id: RunId = None
) -> JSONResponse:
    """Return how many experiments, runs, checkpoints and bytes there are."""
    return JSONResponse(asdict(catalog.statistics(view.engine, view.scope(experiment, run_id))))
