"""Turns whatever names a checkpoint into its record: an id, a URI, a record."""

from __future__ import annotations

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.loading import find
from tracker.loading.mirror import open_current
from tracker.types import CheckpointRecord

_FORMS = (
    "expected a Checkpoint, a checkpoint's id (or the beginning of it), 'runs:/RUN_ID/epoch-6', "
    "'models:/NAME@alias', 'models:/NAME/VERSION' or 'models:/m-…'"
)


def resolve(source: str) -> CheckpointRecord:
    """Return the record that ``source`` names.

    Args:
        source: A checkpoint's id or a unique beginning of it, ``runs:/RUN_ID/NAME``,
            ``runs:/RUN_ID`` for the latest, ``models:/m-…``, ``models:/NAME@alias`` or
            ``models:/NAME/VERSION``.

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
    return find.by_id(open_current(), source)


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
        return find.by_id(open_current(), rest)
    name, separator, alias = rest.partition("@")
    version = "@" + alias
    if not separator:
        name, _, version = rest.rpartition("/")
    if not name or not version.strip("@") or not (separator or version.isdecimal()):
        raise InvalidArgumentError(f"{source!r} names no checkpoint: {_FORMS}.")
    from tracker.record import logged_models

    identifier = logged_models.id_of_registered_model(name, version)
    if identifier is None:
        raise NotFoundError(
            f"{source!r} is a registered model that was not made from a checkpoint of tracker."
        )
    return find.by_id(open_current(), identifier)
