"""The web page: what the JSON API tells, for people. Rendered here; it works without JavaScript."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tracker import catalog
from tracker.errors import NotFoundError
from tracker.loading import find
from tracker.record import registered
from tracker.server.contents import Reader, Unavailable
from tracker.server.experiment import Asked, experiment_page, run_link
from tracker.server.headline import headline, only
from tracker.server.model_list import model_row
from tracker.server.registered import AsCaller
from tracker.server.rendering import page
from tracker.server.view import AsSeen, View
from tracker.server.wording import literal
from tracker.types import CheckpointRecord

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

EXPERIMENTS = 40
"""On one page; each costs a few look-ups."""

_FIRST_LINES = """\
import tracker

for epoch in range(epochs):
    ...
    tracker.log_checkpoint(model, epoch=epoch, metrics={"val_loss": loss}, optimizer=optimizer)"""

_REBUILT = {
    "constructor": "Rebuilt by this call; proven to give the same model when it was logged.",
    "structure": "Rebuilt module by module; proven to give the same model when it was logged.",
    "torchscript": "Kept as a TorchScript program.",
    "none": "Its weights load into an instance of the model: no description of it was proven.",
}

_REGISTER_LINES = """\
import tracker

best = tracker.best_checkpoint("val_loss", experiment="digits")
tracker.register(best, "digits", alias="champion")"""

MODELS = 20
"""On one page; MLflow is asked once for each."""

_reader = Reader()

Text = Annotated[str, Query(max_length=500_000)]
Offset = Annotated[int, Query(ge=0, le=2**53)]


@router.get("/")
def experiments(request: Request, view: AsSeen, offset: Offset = 0) -> HTMLResponse:
    """Show the experiments."""
    scope = view.scope()
    found = catalog.experiment_summaries(view.engine, scope)
    shown = found[offset : offset + EXPERIMENTS]
    last = offset + len(shown)
    return page(
        request,
        "experiments.html",
        section="experiments",
        user=view.viewer.user,
        total=len(found),
        checkpoints=sum(each.checkpoints for each in found),
        rows=[headline(view.engine, scope, summary) for summary in shown],
        first_lines=_FIRST_LINES,
        earlier=f"?offset={max(0, offset - EXPERIMENTS)}" if offset else "",
        later=f"?offset={last}" if last < len(found) else "",
        place=f"{offset + 1:,} to {last:,} of {len(found):,}",
    )


@router.get("/experiments/{experiment_id}")
def experiment(
    request: Request,
    experiment_id: str,
    view: AsSeen,
    metric: Text = "",
    mode: Text = "",
    filter: Text = "",
    order: Text = "",
    scale: Text = "",
    offset: Offset = 0,
) -> HTMLResponse:
    """Show one experiment: the curves of its runs, and its checkpoints."""
    scope = only(view.scope(), experiment_id)
    found = catalog.experiment_summaries(view.engine, scope)
    if not found:
        raise NotFoundError(
            "There is no such experiment with checkpoints, as far as you may see; perhaps it was "
            "deleted."
        )
    asked = Asked(metric, mode, filter, order, scale, offset)
    return page(
        request,
        "experiment.html",
        section="experiments",
        user=view.viewer.user,
        **experiment_page(view.engine, scope, found[0], asked),
    )


@router.get("/checkpoints/{identifier}")
def checkpoint(request: Request, identifier: str, view: AsSeen) -> HTMLResponse:
    """Show one checkpoint."""
    try:
        record = find.by_id(view.engine, identifier, view.visible)
    except NotFoundError:
        # Without the list of the newest ones, which helps whoever types an id.
        raise NotFoundError(
            f"There is no checkpoint with the id {catalog.quoted(identifier)}, as far as you may "
            "see."
        ) from None
    contents = _reader.read(record)
    gone = contents if isinstance(contents, Unavailable) else None
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return page(
        request,
        "checkpoint.html",
        section="experiments",
        user=view.viewer.user,
        record=record,
        rebuilt=_REBUILT[record.rebuild],
        load_lines=_load_lines(record),
        before=_beside(view, record, "<", "DESC"),
        after=_beside(view, record, ">", "ASC"),
        run_link=f"{root}/experiments/{record.experiment_id}{run_link(Asked(), record.run_id)}",
        contents=None if gone else contents,
        unavailable=gone,
    )


@router.get("/models")
def models(request: Request, view: AsSeen, caller: AsCaller, offset: Offset = 0) -> HTMLResponse:
    """Show the registered models with their versions and aliases."""
    found = registered.models(caller)
    shown = found[offset : offset + MODELS]
    last = offset + len(shown)
    return page(
        request,
        "models.html",
        section="models",
        user=view.viewer.user,
        total=len(found),
        rows=[model_row(view, caller, model) for model in shown],
        register_lines=_REGISTER_LINES,
        earlier=f"?offset={max(0, offset - MODELS)}" if offset else "",
        later=f"?offset={last}" if last < len(found) else "",
        place=f"{offset + 1:,} to {last:,} of {len(found):,}",
    )


def _beside(
    view: View, record: CheckpointRecord, comparator: str, order: str
) -> CheckpointRecord | None:
    """Return the checkpoint of the same run that was logged next before or after one."""
    scope = view.scope(None, record.run_id, f"created_at {comparator} {record.created_at}")
    ordered = [f"attributes.created_at {order}"]
    found = catalog.search(view.engine, scope, order_by=ordered, max_results=1)
    return found[0] if found else None


def _load_lines(record: CheckpointRecord) -> str:
    if record.rebuild == "none":
        query = f"id = '{record.id}'"
        return f"import tracker\ntracker.search_checkpoints({literal(query)})[0].load_into(model)"
    return f"import tracker\nmodel = tracker.load_model({literal(record.id)})"
