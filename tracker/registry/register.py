"""The order of a registration: files whole → READY → the version → its alias.

The version, with everything that is known about it, comes with one request of MLflow's and is what
makes a registration visible. Whoever dies before has left a logged model that nobody sees and the
next attempt takes; whoever dies after has left a version without its alias, and the next attempt
finds that and gives it the alias.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from tracker.errors import InvalidArgumentError, TrackerError
from tracker.loading.fetch import fetch
from tracker.record import copies, logged_models, registering, version_tags, versions
from tracker.record.datasets import datasets
from tracker.record.version_tags import Card
from tracker.registry import promotion
from tracker.registry.lineage import registered_version
from tracker.registry.names import MAX_TEXT, check_alias, check_name, check_texts
from tracker.registry.version import RegisteredVersion
from tracker.registry.whole import write_whole
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client

_log = logging.getLogger("tracker.registry")
"""Says each step when it is done; the tests kill the process there."""


def register(
    record: CheckpointRecord,
    name: str,
    *,
    alias: str | None = None,
    description: str | None = None,
    tags: object = None,
) -> RegisteredVersion:
    """Make a checkpoint a version of a registered model; see `tracker.register`."""
    check_name(name)
    if alias is not None:
        check_alias(alias)
    description, own_tags = check_texts(description, tags)
    client = versions.reachable_client()
    found = versions.versions(client, name) if versions.model(client, name) else []
    _refuse_foreign(client, name, found)
    origin = copies.origin(client, record.id)
    existing = _made_from(found, origin)
    if existing is None:
        version = _make(client, record, origin, name, description, own_tags)
    else:
        version = existing
        registering.describe(client, version, description, own_tags)
    if alias is not None:
        promotion.move(name, alias, version.number)
    return replace(registered_version(name, version.number), is_new=existing is None)


def _made_from(found: list[versions.Version], origin: str) -> versions.Version | None:
    """Return the first version that was made from a checkpoint."""
    return next((each for each in reversed(found) if each.checkpoint_id == origin), None)


def _refuse_foreign(client: Client, name: str, found: list[versions.Version]) -> None:
    if found and not any(versions.is_checkpoint(client, each) for each in found):
        raise InvalidArgumentError(
            f"The registered model {name!r} is of another origin: none of its "
            f"{len(found)} versions was made from a checkpoint of tracker. Register under another "
            "name, or delete that model in MLflow."
        )


def _make(
    client: Client,
    record: CheckpointRecord,
    origin: str,
    name: str,
    description: str | None,
    own_tags: dict[str, str],
) -> versions.Version:
    whole = _whole(client, record, origin, name)
    card = _card(client, whole)
    registering.create_model(client, name)
    _log.debug("model named: %s", name)
    made = registering.create(
        client,
        name,
        whole,
        description=_sentence(whole) if description is None else description,
        tags={**own_tags, **version_tags.to_tags(whole, origin, card)},
    )
    _log.debug("version made: %s/%s", name, made.number)
    return _only_one(client, made, origin)


def _whole(client: Client, record: CheckpointRecord, origin: str, name: str) -> CheckpointRecord:
    """Return the checkpoint with the files of a logged model of the version's own."""
    experiment_id = copies.experiment_for(client, name)
    for left in copies.complete(client, experiment_id, origin):
        found = _with_files_of(record, left)
        if _is_there(found):
            return found
    copy = copies.create(client, experiment_id, name, record, origin)
    _log.debug("copy begun: %s", copy.id)
    try:
        written = write_whole(client, record, copy)
        copy = replace(copy, manifest_digest=written.manifest_digest, size=written.size)
        _log.debug("copy written: %s", copy.id)
        copies.finish(client, copy)
    except BaseException:
        logged_models.fail(client, copy.id)
        raise
    _log.debug("copy ready: %s", copy.id)
    return _with_files_of(record, copy)


def _with_files_of(record: CheckpointRecord, copy: copies.Copy) -> CheckpointRecord:
    return replace(
        record,
        id=copy.id,
        artifact_uri=copy.artifact_uri,
        manifest_digest=copy.manifest_digest,
        size=copy.size,
    )


def _is_there(record: CheckpointRecord) -> bool:
    try:
        fetch(record, groups=())
    except TrackerError as error:
        _log.info("An earlier copy can't be used: %s", error)
        return False
    return True


def _only_one(client: Client, made: versions.Version, origin: str) -> versions.Version:
    """Return the one version that is to stay, if others have registered the checkpoint meanwhile.

    MLflow's client repeats a request whose answer it did not get, too. All who look keep the first.
    """
    first = _made_from(versions.versions(client, made.name), origin) or made
    if first.number != made.number:
        registering.delete(client, made)
        if made.model_id is not None and made.model_id != first.model_id:
            logged_models.delete(client, made.model_id)
    return first


def _card(client: Client, record: CheckpointRecord) -> Card:
    git = fetch(record, groups=()).manifest.environment.get("git")
    known = git if isinstance(git, dict) else {}
    commit = known.get("commit")
    return Card(
        commit=str(commit) if commit else None,
        dirty=bool(known.get("dirty")),
        data=datasets(client, record.run_id),
    )


def _sentence(record: CheckpointRecord) -> str:
    """Return the description of a version that was given none."""
    shown = ", ".join(f"{name} {value:.6g}" for name, value in list(record.metrics.items())[:20])
    told = (
        f"{record.name} of run {record.run_id} in {record.experiment!r}: "
        f"{record.model_text[:1000]}{'; ' + shown if shown else ''}"
    )
    return told[:MAX_TEXT]
