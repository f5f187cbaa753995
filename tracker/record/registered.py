"""Registered models and their versions, as MLflow shows them to somebody else; see `on_behalf`.

What the caller may not read is answered as what does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracker.errors import NotFoundError
from tracker.record import version_tags, versions
from tracker.record.boundary import connect
from tracker.record.on_behalf import Caller, all_of, ask
from tracker.record.versions import Model, Version
from tracker.types import CheckpointRecord

_PAGE = "1000"
_LOGGED_MODEL = re.compile(r"(?:^models:/|/models/)(m-\w+)(?:/artifacts)?/?$")


def models(caller: Caller) -> list[Model]:
    """Return the registered models that the caller may read, by name.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    if not caller.is_of_server:
        return versions.models(connect(caller.tracking_uri))
    query = {"max_results": _PAGE}
    found = all_of(caller, "registered-models/search", query, "registered_models")
    return sorted(map(_model, found), key=lambda each: each.name)


def model(caller: Caller, name: str) -> Model:
    """Return a registered model.

    Raises:
        NotFoundError: There is none of the name, as far as the caller may read.
        RecordError: MLflow refused or could not be reached.
    """
    if not caller.is_of_server:
        found = versions.model(connect(caller.tracking_uri), name)
        if found is None:
            raise _no_model(name)
        return found
    try:
        answer = ask(caller, "registered-models/get", query={"name": name}, forbidden=NotFoundError)
    except NotFoundError:
        raise _no_model(name) from None
    return _model(answer["registered_model"])


def versions_of(caller: Caller, name: str) -> list[Version]:
    """Return the versions of a registered model that the caller may read, the newest first.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    if not caller.is_of_server:
        return versions.versions(connect(caller.tracking_uri), name)
    quote = '"' if "'" in name else "'"
    query = {"filter": f"name = {quote}{name}{quote}", "max_results": _PAGE}
    found = map(_version, all_of(caller, "model-versions/search", query, "model_versions"))
    # A name with quotes of both kinds is another filter.
    return sorted((each for each in found if each.name == name), key=lambda each: -each.number)


def version(caller: Caller, known: Model, which: str) -> Version:
    """Return a version of a registered model, by its number or by ``@alias``.

    Raises:
        NotFoundError: There is no such version or alias, as far as the caller may read.
        RecordError: MLflow refused or could not be reached.
    """
    number = known.aliases.get(which[1:]) if which.startswith("@") else which
    for each in versions_of(caller, known.name) if number is not None else ():
        if str(each.number) == str(number):
            return each
    listed = ", ".join(f"@{alias}" for alias in sorted(known.aliases)) or "none"
    raise NotFoundError(f"Model {known.name!r} has no version {which!r}. Aliases: {listed}.")


def checkpoint_of(found: Version) -> CheckpointRecord | None:
    """Return the checkpoint that a version's tags describe, or None if they describe none."""
    try:
        return version_tags.to_record(found.tags, f"models:/{found.name}/{found.number}")
    except (ValueError, TypeError, KeyError):
        return None  # anyone may edit tags in MLflow; the rest of the version still says something


def _no_model(name: str) -> NotFoundError:
    return NotFoundError(f"There is no registered model {name!r}, as far as you may see.")


def _model(found: Mapping[str, Any]) -> Model:
    aliases = found.get("aliases") or ()
    return Model(
        name=found["name"],
        description=found.get("description") or "",
        aliases={each["alias"]: int(each["version"]) for each in aliases},
        tags=_tags(found),
        updated_at=int(found.get("last_updated_timestamp") or 0),
    )


def _version(found: Mapping[str, Any]) -> Version:
    # MLflow's own SQL registry leaves model_id empty; then the source says it.
    source = _LOGGED_MODEL.search(found.get("source") or "")
    return Version(
        name=found["name"],
        number=int(found["version"]),
        description=found.get("description") or "",
        tags=_tags(found),
        created_at=int(found.get("creation_timestamp") or 0),
        model_id=found.get("model_id") or (source[1] if source else None),
    )


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in found.get("tags") or ()}
