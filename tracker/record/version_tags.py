"""A checkpoint as the version of a registered model holds it: its tags, and back.

They say all that is known about the checkpoint, so a version is loaded without the catalog, without
the checkpoint's run, and after both are gone. They are the model's card as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tracker.record.tags import MAX_TAG_LENGTH, PREFIX
from tracker.types import CheckpointRecord, Rebuild

MAX_LENGTH = 100_000
"""Characters of a version's tag."""

CHECKPOINT = PREFIX + "checkpoint"
"""The id of the checkpoint that a version was made from."""

MODEL_ID = PREFIX + "model_id"
"""The id of the logged model that holds a version's files."""

_MANIFEST = PREFIX + "manifest"


@dataclass(frozen=True, slots=True)
class Card:
    """What a version says about where its model comes from, beside the checkpoint itself.

    Attributes:
        commit: The git commit of the training code, or None.
        dirty: Whether that code had changes that were not committed.
        data: The datasets that are logged on the run, each with ``name``, ``digest`` and
            ``context``.
    """

    commit: str | None = None
    dirty: bool = False
    data: Sequence[Mapping[str, str]] = ()


def to_tags(record: CheckpointRecord, origin: str, card: Card) -> dict[str, str]:
    """Return the tags of a version.

    Args:
        record: The checkpoint, with the id, size and manifest of the version's own files.
        origin: The id of the checkpoint that was registered.
        card: What else is known.
    """
    known: dict[str, Any] = {
        "checkpoint": origin,
        "model_id": record.id,
        "name": record.name,
        "run_id": record.run_id,
        "experiment_id": record.experiment_id,
        "experiment": record.experiment,
        "epoch": record.epoch,
        "step": record.step,
        "model_class": record.model_class,
        "model": record.model_text[:MAX_TAG_LENGTH],
        "rebuild": record.rebuild,
        "size": record.size,
        "created_at": record.created_at,
        "manifest": record.manifest_digest,
        "metrics": _json({name: repr(float(value)) for name, value in record.metrics.items()}),
        "params": _json(record.params),
        "tags": _json(record.tags),
        "commit": card.commit and card.commit + (" (with changes)" if card.dirty else ""),
        "data": _json({str(i): dict(each) for i, each in enumerate(card.data)}),
    }
    return {PREFIX + key: str(value) for key, value in known.items() if value not in (None, "")}


def _json(values: Mapping[str, Any]) -> str:
    """Return the entries as JSON, as many as a tag can hold; nothing if there are none."""
    kept: dict[str, Any] = {}
    length = 2
    for name, value in values.items():
        length += len(json.dumps({name: value}))
        if length > MAX_LENGTH:
            break
        kept[name] = value
    return json.dumps(kept, ensure_ascii=False) if kept else ""


def to_record(tags: Mapping[str, str], artifact_uri: str) -> CheckpointRecord | None:
    """Return the checkpoint that a version's tags describe, or None if they describe none.

    Args:
        tags: The version's tags.
        artifact_uri: Where the version's files are.

    Raises:
        ValueError: Somebody has edited the tags.
    """
    if not {_MANIFEST, CHECKPOINT, MODEL_ID} <= tags.keys():
        return None
    own = {key.removeprefix(PREFIX): value for key, value in tags.items() if _is_own(key)}
    return CheckpointRecord(
        id=own["model_id"],
        run_id=own.get("run_id", ""),
        experiment_id=own.get("experiment_id", ""),
        experiment=own.get("experiment", ""),
        name=own.get("name", "checkpoint"),
        epoch=int(own["epoch"]) if "epoch" in own else None,
        step=int(own["step"]) if "step" in own else None,
        metrics={name: float(text) for name, text in _texts(own, "metrics").items()},
        params=_texts(own, "params"),
        tags=_texts(own, "tags"),
        model_class=own.get("model_class", ""),
        model_text=own.get("model", ""),
        rebuild=cast(Rebuild, own.get("rebuild", "none")),
        size=int(own.get("size", "0")),
        created_at=int(own.get("created_at", "0")),
        artifact_uri=artifact_uri,
        manifest_digest=own["manifest"],
    )


def to_card(tags: Mapping[str, str]) -> Card:
    """Return the card that a version's tags hold."""
    commit, changes, _ = tags.get(PREFIX + "commit", "").partition(" (with changes)")
    data = json.loads(tags.get(PREFIX + "data", "{}"))
    return Card(commit or None, bool(changes), tuple(data.values()))


def _is_own(key: str) -> bool:
    return key.startswith(PREFIX)


def _texts(own: Mapping[str, str], name: str) -> dict[str, str]:
    found = json.loads(own.get(name, "{}"))
    if not isinstance(found, dict):
        raise ValueError(f"{PREFIX}{name} is not a JSON object")
    return {str(key): str(value) for key, value in found.items()}
