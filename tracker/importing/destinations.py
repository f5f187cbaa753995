"""Which run an imported checkpoint goes to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from tracker.importing.discover import Found
from tracker.importing.places import LocalPlace, RunPlace
from tracker.record import imported_runs, runs
from tracker.record.boundary import connect
from tracker.record.imported_runs import Points, Target

if TYPE_CHECKING:
    from tracker.record.boundary import Client


@dataclass(slots=True)
class Destinations:
    """Where checkpoints go: to a run that was named, to their own, or to one for each folder.

    Attributes:
        tracking_uri: MLflow's tracking store.
        experiment: The experiment's name, or None for the one in force.
        run_id: The run that was named, or None.
        run_name: The name of a new run for all of them, or None.
        is_blank: Whether MLflow has nothing yet, and is not to be asked, which would make it.
    """

    tracking_uri: str
    experiment: str | None = None
    run_id: str | None = None
    run_name: str | None = None
    is_blank: bool = False
    _runs: dict[str, runs.Run | None] = field(default_factory=dict)
    _points: dict[str, Points] = field(default_factory=dict)
    _client: Client | None = None

    @property
    def client(self) -> Client:
        """MLflow, which makes its database when it is first connected to."""
        if self._client is None:
            self._client = connect(self.tracking_uri)
        return self._client

    def known(self, place: LocalPlace | RunPlace, found: Found) -> runs.Run | None:
        """Return the run of a checkpoint, or None if it is yet to be made.

        Raises:
            NotFoundError: There is no such run.
            RecordError: MLflow refused or could not be reached.
        """
        named = self.named(place)
        if named is not None:
            return runs.run_for_logging(self.client, named)
        if self.is_blank:
            return None
        target = self._target(place, found)
        if target.key not in self._runs:
            self._runs[target.key] = imported_runs.find(self.client, target)
        return self._runs[target.key]

    def made(self, place: LocalPlace | RunPlace, found: Found) -> runs.Run:
        """Return the run of a checkpoint, which is made if it is not there.

        Raises:
            RecordError: MLflow refused or could not be reached.
        """
        run = self.known(place, found)
        if run is None:
            target = self._target(place, found)
            run = self._runs[target.key] = imported_runs.make(self.client, target)
        return run

    def named(self, place: LocalPlace | RunPlace) -> str | None:
        """Return the id of the run that was named, or of which the artifacts are."""
        if self.run_id is not None:
            return self.run_id
        if self.run_name is not None or self.experiment is not None:
            return None
        return place.run_id or runs.active_run_id()

    def run_name_of(self, place: LocalPlace | RunPlace, found: Found) -> str:
        """Return how the run is called that would be made."""
        return self._target(place, found).name

    def points(self, place: LocalPlace | RunPlace) -> Points:
        """Return the history of the run whose artifacts they are, or that was named.

        That of a run which an import has made tells nothing: what is in it came from files.
        """
        source = place.run_id or self.named(place)
        if source is None:
            return {}
        if source not in self._points:
            self._points[source] = imported_runs.points(self.client, source)
        return self._points[source]

    def history_in(self, place: LocalPlace | RunPlace, run: runs.Run) -> Points:
        """Return that history, if it is of the run that a checkpoint goes to."""
        return self.points(place) if run.id == (place.run_id or self.named(place)) else {}

    def _target(self, place: LocalPlace | RunPlace, found: Found) -> Target:
        home, name = _home(place, found)
        if self.run_name is not None:
            home, name = _root(place), self.run_name
        identity = json.dumps([self.experiment, self.run_name, home])
        key = blake3(identity.encode("utf-8", "surrogatepass")).hexdigest()
        return Target(self.experiment, key, _storable(name), _storable(home))


def _root(place: LocalPlace | RunPlace) -> str:
    return place.root.as_posix() if isinstance(place, LocalPlace) else f"runs:/{place.run_id}"


def _home(place: LocalPlace | RunPlace, found: Found) -> tuple[str, str]:
    """Return the folder whose checkpoints are of one run, and how people name it."""
    root = Path(_root(place))
    path = root if found.name == "." else root / found.name
    files = tuple(str(root / file) for file in found.files)
    home = Path(Found(path.as_posix(), files).home)
    try:
        name = home.relative_to(root.parent).as_posix()
    except ValueError:
        name = home.name
    return home.as_posix(), name if name not in ("", ".") else home.name or "imported"


def _storable(text: str) -> str:
    """Return a path as text, whatever bytes its names are of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
