"""Looks at what is in force and whether it answers: MLflow, catalog, artifacts, spool, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker import catalog, settings
from tracker.errors import NotFoundError, TrackerError
from tracker.record import artifacts
from tracker.service import location, questions
from tracker.service.location import Service

_PACKAGES = ("checkpoint-tracker", "torch", "mlflow", "sqlalchemy", "alembic")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        value: What is in force.
        ok: Whether it answers; None where there is nothing yet, which is no fault.
        detail: What it answered, or what to do.
    """

    name: str
    value: str
    ok: bool | None
    detail: str = ""


def examine() -> list[Finding]:
    """Return what is in force, in the order of a save. Nothing is created or changed."""
    uri = settings.tracking_uri()
    shown = settings.display_uri(uri)
    missing = _missing_sqlite_file(uri)
    if missing is not None:
        detail = "does not exist yet; the first checkpoint logged creates it"
        return [
            Finding("tracking store", shown, None, detail),
            Finding("catalog", shown, None, detail),
            Finding("artifact store", str(missing.parent / "mlruns"), None, detail),
            _spool(),
            *_versions(),
        ]
    return [
        _look("tracking store", shown, _tracking_answers),
        _catalog(uri),
        _artifact_store(),
        _spool(),
        *_versions(),
    ]


def _look(name: str, value: str, answer: Callable[[], str]) -> Finding:
    try:
        return Finding(name, value, True, answer())
    except NotFoundError as nothing_yet:
        return Finding(name, value, None, str(nothing_yet))
    except TrackerError as error:
        return Finding(name, value, False, str(error))


def _missing_sqlite_file(uri: str) -> Path | None:
    path = Path(uri.removeprefix("sqlite:///"))
    return path.absolute() if uri.startswith("sqlite:///") and not path.exists() else None


def _tracking_answers() -> str:
    from tracker.record import experiments

    count = len(experiments.names())
    return f"answers; {count} experiment{'s' if count != 1 else ''}"


def _catalog(uri: str) -> Finding:
    service = location.in_force(uri)
    if service is None:
        return _look("catalog", _shown_catalog(uri), lambda: _catalog_answers(uri))
    found = "found beside MLflow" if service.beside else "named by TRACKER_CATALOG_URI"
    shown = f"tracker service {settings.display_uri(service.url)} ({found})"
    return _look("catalog", shown, lambda: _service_answers(service))


def _service_answers(service: Service) -> str:
    user = questions.viewer(service)
    count = questions.count(service)
    who = "without users" if user is None else f"as {user}"
    return f"answers {who}; {count} checkpoint{'s' if count != 1 else ''} to be seen"


def _shown_catalog(uri: str) -> str:
    try:
        return settings.display_uri(catalog.catalog_uri(uri))
    except TrackerError:
        return settings.display_uri(settings.catalog_uri() or uri)


def _catalog_answers(uri: str) -> str:
    engine = catalog.open_catalog(catalog.catalog_uri(uri))
    count = catalog.count(engine, catalog.Scope())
    revision = catalog.current_revision(engine)
    return f"answers; {count} checkpoint{'s' if count != 1 else ''}, schema {revision}"


def _artifact_store() -> Finding:
    from tracker.record import experiments

    try:
        uri = experiments.artifact_location()
    except TrackerError as error:
        return Finding("artifact store", "unknown", False, str(error))
    directory = artifacts.local_directory(uri)
    if directory is None:
        return _look("artifact store", uri, lambda: experiments.list_artifacts(uri))
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    writable = os.access(existing, os.W_OK)
    return Finding(
        "artifact store",
        str(directory),
        writable,
        "can be written" if writable else f"{existing} can't be written by this user",
    )


def _spool() -> Finding:
    from tracker.saving import spool

    shown = str(settings.spool_directory())
    unreadable: list[TrackerError] = []
    try:
        waiting = spool.waiting(unreadable.append)
    except TrackerError as error:
        return Finding("spool", shown, False, str(error))
    kept = _kept(spool.shards_directory())
    failed = [*map(str, unreadable), *(f"{d.name}: {d.error}" for d in waiting if d.refused)]
    if not waiting and not failed:
        return Finding("spool", shown, True, "; ".join(["nothing waits to be sent", *kept]))
    count = f"{len(waiting)} checkpoint{'s wait' if len(waiting) != 1 else ' waits'}"
    detail = "; ".join([f"{count} there: `tracker sync` sends what it can", *failed, *kept])
    return Finding("spool", shown, False if failed else None, detail)


def _kept(shards: Path) -> list[str]:
    """Return in words what processes have kept of checkpoints that several could not save."""
    count = len(list(shards.iterdir())) if shards.is_dir() else 0
    what = "folder holds shards" if count == 1 else "folders hold shards"
    return [f"{shards}: {count} {what} of checkpoints that could not be saved"] if count else []


def _versions() -> list[Finding]:
    found = [Finding("python", platform.python_version(), True)]
    for package in _PACKAGES:
        try:
            found.append(Finding(package, importlib.metadata.version(package), True))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(package, "not installed", False, f"pip install {package}"))
    return found
