"""Turns whatever names a checkpoint into its record: an id, a URI, a record."""

from __future__ import annotations

import re

from tracker import settings
from tracker.catalog import direct
from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.loading import find
from tracker.loading.mirror import open_current
from tracker.types import CheckpointRecord

_LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")
_FORMS = (
    "expected a Checkpoint, a checkpoint's id (or the beginning of it), 'runs:/RUN_ID/epoch-6', "
    "'models:/NAME@alias', 'models:/NAME/VERSION' or 'models:/m-…'"
)


def resolve(source: str) -> CheckpointRecord:
    """Return the record that ``source`` names.

    Args:
        source: A checkpoint's id or a unique beginning of it, ``runs:/RUN_ID/NAME``,
            ``runs:/RUN_ID`` for the latest, ``models:/m-…``, ``models:/NAME@alias`` or
            ``models:/NAME/VERSION`` (``latest`` is the newest).

    Raises:
        InvalidArgumentError: It has none of these forms.
        NotFoundError: It names nothing; says what there is.
    """
    if source.startswith("runs:/"):
        return _of_run(source.removeprefix("runs:/").strip("/"), source)
    if source.startswith("models:/"):
        return _of_model(source.removeprefix("models:/").strip("/"), source)
    if not source or ":" in source or "/" in source:
        raise InvalidArgumentError(f"{source!r} names no checkpoint: {_FORMS}.")
    return _of_id(source)


def _of_run(rest: str, source: str) -> CheckpointRecord:
    run_id, _, name = rest.partition("/")
    if not run_id or "/" in name:
        raise InvalidArgumentError(f"{source!r} names no checkpoint: {_FORMS}.")
    engine = open_current()
    if name:
        return find.by_run_and_name(engine, run_id, name)
    return find.get(engine, find.make_scope(None, run_id), epoch=None, step=None)


def _of_model(rest: str, source: str) -> CheckpointRecord:
    if rest.startswith("m-") and "/" not in rest and "@" not in rest:
        return _of_id(rest)
    name, separator, which = rest.partition("/")
    if not separator:
        name, separator, which = rest.rpartition("@")
        which = "@" + which
    if not name or not which.strip("@") or "/" in which or not _is_version(which):
        raise InvalidArgumentError(f"{source!r} names no checkpoint: {_FORMS}.")
    # MLflow is asked and not the catalog: a version outlives its checkpoint.
    from tracker.record import versions

    client = versions.reachable_client()
    return versions.record_of(client, versions.version(client, name, which))


def _is_version(which: str) -> bool:
    return which.startswith("@") or which == "latest" or which.isdecimal()


def _of_id(identifier: str) -> CheckpointRecord:
    """Return the checkpoint of an id, also that of the files of a registered version."""
    if _LOGGED_MODEL.fullmatch(identifier):
        known = direct.by_id(settings.tracking_uri(), identifier)
        if known is not None:
            return known
    try:
        return find.by_id(open_current(), identifier)
    except NotFoundError:
        if not _LOGGED_MODEL.fullmatch(identifier):
            raise
        from tracker.record import versions

        found = versions.record_of_copy(versions.reachable_client(), identifier)
        if found is None:
            raise
        return found
