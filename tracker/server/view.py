"""What a route asks of: the catalog, up to date, and how much of it the caller may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from tracker.catalog import Engine, Scope
from tracker.loading import find
from tracker.server.viewer import Viewer, current_viewer


@dataclass(frozen=True, slots=True)
class View:
    """The catalog as somebody sees it.

    Attributes:
        engine: The catalog.
        viewer: Who asks.
    """

    engine: Engine
    viewer: Viewer

    @property
    def visible(self) -> frozenset[str]:
        """The ids of the experiments that may be seen; see `tracker.catalog.Scope`."""
        return self.viewer.experiments

    def scope(
        self,
        experiments: Sequence[str] | None = None,
        run_id: str | None = None,
        filter_string: str = "",
    ) -> Scope:
        """Return where to look; an empty list of experiments means all of them.

        Raises:
            InvalidArgumentError: An argument can't be a name.
        """
        return find.make_scope(experiments or None, run_id, filter_string, self.visible)


def current_view(request: Request, _: Annotated[Viewer, Depends(current_viewer)]) -> View:
    """Return the catalog as the caller sees it, in step with MLflow: a dependency of routes.

    Who may ask at all is asked first, so that a stranger causes no update; and what they may see
    again afterwards, as there may be an experiment more.

    Raises:
        NotAuthenticatedError: MLflow does not know the caller.
        RecordUnreachableError: MLflow can't be asked.
    """
    state = request.app.state
    state.catch_up()
    return View(state.engine, state.look(request.headers.get("authorization")))


AsSeen = Annotated[View, Depends(current_view)]
"""The annotation of a route's parameter that holds the current `View`."""
