"""Compares two checkpoints: model, source, parameters, metrics, tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tracker.format import StoredCheckpoint
from tracker.loading.checkpoint_diff import Change, CheckpointDiff, Value
from tracker.loading.compare_tensors import compare_tensors
from tracker.loading.differences import unified
from tracker.loading.fetch import fetch
from tracker.loading.outline import outline
from tracker.types import Architecture, CheckpointRecord, Json


def compare(a: CheckpointRecord, b: CheckpointRecord) -> CheckpointDiff:
    """Return how checkpoint ``b`` differs from checkpoint ``a``.

    Nothing of either is rebuilt, and no code of theirs runs.

    Raises:
        NotFoundError: Files of one are gone.
        CorruptCheckpointError: Bytes that had to be read are not those that were written.
        RecordError: An artifact store can't be reached.
    """
    one, other = fetch(a, ("model",)), fetch(b, ("model",))
    architectures = one.manifest.architecture, other.manifest.architecture
    return CheckpointDiff(
        a.id,
        b.id,
        (_title(a), _title(b)),
        model=_changes(*map(_model, architectures)),
        architecture=_modules(*(each.structure for each in architectures)),
        source=_source(one, other, a.id, b.id),
        params=_sorted(_changes(a.params, b.params)),
        metrics=_sorted(_changes(a.metrics, b.metrics)),
        tensors=tuple(compare_tensors(one, other)),
    )


def _title(record: CheckpointRecord) -> str:
    return f"{record.id}: {record.name} of run {record.run_id} in {record.experiment!r}"


def _model(architecture: Architecture) -> dict[str, str]:
    return {
        "class": architecture.model_class,
        "call": architecture.model_text,
        "rebuilt by": architecture.rebuild,
    }


def _changes(a: Mapping[str, Value], b: Mapping[str, Value]) -> tuple[Change[Value], ...]:
    return tuple(
        Change(name, a.get(name), b.get(name))
        for name in {**a, **b}
        if not _is_same(a.get(name), b.get(name))
    )


def _sorted(changes: tuple[Change[Value], ...]) -> tuple[Change[Value], ...]:
    return tuple(sorted(changes, key=lambda change: change.name))


def _is_same(a: object, b: object) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return a == b or both_nan


def _modules(a: Json, b: Json) -> tuple[Change[str], ...]:
    before, after = (
        {path or "the model itself": text for path, text in outline(each).items()} if each else {}
        for each in (a, b)
    )
    return _changes(before, after)


def _source(a: StoredCheckpoint, b: StoredCheckpoint, a_name: str, b_name: str) -> dict[str, str]:
    before, after = ({entry.module: entry for entry in s.manifest.source} for s in (a, b))
    found: dict[str, str] = {}
    for module in sorted({**before, **after}):
        one, other = before.get(module), after.get(module)
        contents, names = [], []
        for stored, entry, checkpoint in ((a, one, a_name), (b, other, b_name)):
            contents.append(b"" if entry is None else stored.read_file(entry.file))
            path = module if entry is None else entry.path or module
            names.append(f"{path} ({checkpoint[:10]})")
        if contents[0] != contents[1] or one is None or other is None:
            found[module] = unified(contents[0], contents[1], names[0], names[1])
    return found
