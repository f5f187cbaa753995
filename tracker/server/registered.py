"""Registered models as JSON, and where their versions come from. MLflow is asked as the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from tracker import catalog
from tracker.record import registered
from tracker.record.on_behalf import Caller
from tracker.record.versions import Model, Version
from tracker.server.shapes import (
    ERRORS,
    LineageAnswer,
    RegisteredModelAnswer,
    RegisteredModelsAnswer,
)
from tracker.server.view import AsSeen, View
from tracker.service.wire import PREFIX, record_to_json
from tracker.types import CheckpointRecord

router = APIRouter(prefix=f"{PREFIX}/registered-models", tags=["registry"], responses=ERRORS)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A version of a registered model, and where it comes from.

    Attributes:
        version: The version; without description and tags if it was made from a checkpoint that
            the caller may not see.
        aliases: Those that it has now, sorted.
        checkpoint: What it was made from, if the caller may see that; None also if it was made
            from something else.
        is_in_catalog: Whether that checkpoint is still there. The version does not need it.
    """

    version: Version
    aliases: tuple[str, ...]
    checkpoint: CheckpointRecord | None
    is_in_catalog: bool


def current_caller(request: Request) -> Caller:
    """Return who asks, as MLflow is to be asked: a dependency of routes."""
    return Caller(request.app.state.tracking_uri, request.headers.get("authorization"))


AsCaller = Annotated[Caller, Depends(current_caller)]
"""The annotation of a route's parameter that holds the `Caller`."""


def lineage(view: View, model: Model, version: Version) -> Lineage:
    """Return where a version comes from, as far as the caller may see it.

    From the catalog; and for a checkpoint that is not there any more, from the version's own tags.
    """
    aliases = tuple(sorted(a for a, number in model.aliases.items() if number == version.number))
    for identifier in (version.checkpoint_id, version.model_id):
        found = catalog.by_id(view.engine, identifier, view.visible) if identifier else []
        if found and found[0].id == identifier:
            return Lineage(version, aliases, found[0], True)
    told = registered.checkpoint_of(version)
    if told is not None and told.experiment_id not in view.visible:
        # Description and tags of a version tell of its checkpoint.
        return Lineage(replace(version, description="", tags={}), aliases, None, False)
    return Lineage(version, aliases, told, False)


@router.get("", summary="Registered models", response_model=RegisteredModelsAnswer)
def models(view: AsSeen, caller: AsCaller) -> JSONResponse:
    """Return the registered models that MLflow lets you read, with their aliases."""
    return JSONResponse({"models": [_model(each) for each in registered.models(caller)]})


@router.get("/{name}", summary="A registered model", response_model=RegisteredModelAnswer)
def model(name: str, view: AsSeen, caller: AsCaller) -> JSONResponse:
    """Return a registered model with its versions, the newest first, and where each comes from."""
    found = registered.model(caller, name)
    lines = [lineage(view, found, each) for each in registered.versions_of(caller, name)]
    return JSONResponse({**_model(found), "versions": list(map(_lineage, lines))})


@router.get(
    "/{name}/versions/{version}",
    summary="Where a version comes from",
    response_model=LineageAnswer,
)
def version(name: str, version: str, view: AsSeen, caller: AsCaller) -> JSONResponse:
    """Return a version, by number or `@alias`, and the checkpoint it was made from.

    The checkpoint says the rest: run, experiment, params, metrics.
    """
    found = registered.model(caller, name)
    return JSONResponse(_lineage(lineage(view, found, registered.version(caller, found, version))))


def _model(found: Model) -> dict[str, Any]:
    return {
        "name": found.name,
        "description": found.description,
        "aliases": dict(found.aliases),
        "updated_at": found.updated_at,
    }


def _lineage(found: Lineage) -> dict[str, Any]:
    aliases: Sequence[str] = found.aliases
    checkpoint = found.checkpoint
    return {
        "name": found.version.name,
        "version": found.version.number,
        "aliases": list(aliases),
        "description": found.version.description,
        "created_at": found.version.created_at,
        "checkpoint": None if checkpoint is None else record_to_json(checkpoint),
        "is_in_catalog": found.is_in_catalog,
    }
