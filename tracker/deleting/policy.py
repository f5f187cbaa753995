"""Which checkpoints stay, and why: records in, judgements out. Nothing is asked or touched here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.retention import Retention
from tracker.types import CheckpointRecord


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a checkpoint.

    Attributes:
        record: The checkpoint.
        reasons: Why it stays, in words; empty if it is deleted.
    """

    record: CheckpointRecord
    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a retention makes of some checkpoints.

    Attributes:
        judgements: Of each checkpoint, the newest first.
        without_metric: Classes of models that have no checkpoint with the metric that the best are
            chosen by. Their checkpoints all stay: the metric's name is probably misspelt, and who
            deletes all but the newest for that does harm.
    """

    judgements: Sequence[Judgement]
    without_metric: Sequence[str] = field(default=())

    @property
    def deleted(self) -> list[CheckpointRecord]:
        """The checkpoints that go, the oldest first."""
        return [each.record for each in reversed(self.judgements) if not each.stays]


def judge(
    records: Iterable[CheckpointRecord],
    retention: Retention,
    protected: Mapping[str, str] | None = None,
) -> Plan:
    """Judge which checkpoints stay. Those of each run and model class are judged apart.

    What is protected counts as the others do: it may be the best, or among the last.

    Args:
        records: READY checkpoints, all of each run and model class.
        retention: The rules.
        protected: Why some stay whatever the rules say, by id.

    Example:
        >>> plan = judge(records, Retention(keep_last=2), {"m-0f3c": "registered as digits/3"})
        >>> [record.name for record in plan.deleted]
        ['epoch-0', 'epoch-1']
    """
    of_models: dict[tuple[str, str], list[CheckpointRecord]] = defaultdict(list)
    for record in records:
        of_models[record.run_id, record.model_class].append(record)
    reasons: dict[str, list[str]] = {}
    without_metric: set[str] = set()
    for (_, model_class), group in of_models.items():
        reasons |= _reasons(group, retention)
        if _is_blind(group, retention) and not all(reasons[record.id] for record in group):
            without_metric.add(model_class)
            for record in group:
                reasons[record.id].append(f"none of its model has {retention.monitor!r}")
    for id_, why in (protected or {}).items():
        if id_ in reasons:
            reasons[id_].append(why)
    everything = [record for group in of_models.values() for record in group]
    judgements = [Judgement(r, tuple(reasons[r.id])) for r in sorted(everything, key=newest_first)]
    return Plan(judgements, sorted(without_metric))


def newest_first(record: CheckpointRecord) -> tuple[Any, ...]:
    """Return what sorts checkpoints as `tracker.catalog.latest` does, the newest first."""
    return (
        -record.created_at,
        -1 if record.epoch is None else -1 - record.epoch,
        -1 if record.step is None else -1 - record.step,
        _descending(record.id),
    )


def _descending(text: str) -> tuple[int, ...]:
    return (*(-ord(character) for character in text), 1)


def best_first(retention: Retention) -> Callable[[CheckpointRecord], tuple[Any, ...]]:
    """Return what sorts checkpoints as `tracker.catalog.ranking` does, the best first."""
    sign = -1 if retention.mode == "max" else 1

    def key(record: CheckpointRecord) -> tuple[Any, ...]:
        epoch = math.inf if record.epoch is None else record.epoch
        value = record.metrics[retention.monitor or ""]
        return sign * value, epoch, record.created_at, record.id

    return key


def _reasons(group: list[CheckpointRecord], retention: Retention) -> dict[str, list[str]]:
    """Return why the checkpoints of one model stay, by id."""
    reasons: dict[str, list[str]] = {record.id: [] for record in group}
    ordered = sorted(group, key=newest_first)
    for number, record in enumerate(ordered[: retention.keep_last or 1], 1):
        reasons[record.id].append("the newest" if number == 1 else f"{_ordinal(number)} newest")
    for number, record in enumerate(_best(group, retention), 1):
        place = "best" if number == 1 else f"{_ordinal(number)} best"
        reasons[record.id].append(f"{place} {retention.monitor}")
    for record in group:
        unit, count = ("epoch", record.epoch) if record.epoch is not None else ("step", record.step)
        if retention.keep_every and count is not None and count % retention.keep_every == 0:
            reasons[record.id].append(f"every {retention.keep_every} {unit}s")
    return reasons


def _is_blind(group: list[CheckpointRecord], retention: Retention) -> bool:
    """Return whether none has the metric that the best are chosen by."""
    return retention.monitor is not None and not any(retention.monitor in r.metrics for r in group)


def _best(group: list[CheckpointRecord], retention: Retention) -> list[CheckpointRecord]:
    if retention.keep_best is None or retention.monitor is None:
        return []
    ranked = [r for r in group if not math.isnan(r.metrics.get(retention.monitor, math.nan))]
    return sorted(ranked, key=best_first(retention))[: retention.keep_best]


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
