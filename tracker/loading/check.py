"""Checks whether checkpoints can still be rebuilt with the code that is importable now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tracker.errors import TrackerError
from tracker.loading.apart import explain_apart
from tracker.loading.report import LoadReport
from tracker.loading.resolve import resolve
from tracker.types import CheckpointRecord

Status: TypeAlias = Literal["ok", "changed", "fails"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One checkpoint that was checked.

    Attributes:
        names: How it was named; several aliases may lead to one checkpoint.
        status: ``ok``; ``changed`` if it loads, but its code or its output for the example is not
            what it was when it was logged; ``fails`` if it can't be loaded.
        reason: Why, in words.
        report: How it was rebuilt; None if there is no such checkpoint.
    """

    names: tuple[str, ...]
    status: Status
    reason: str
    report: LoadReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            "names": list(self.names),
            "status": self.status,
            "reason": self.reason,
            "report": None if self.report is None else self.report.to_dict(),
        }


def check(
    sources: Sequence[str], *, trust: Collection[str] = (), weights: bool = True
) -> Iterator[Checked]:
    """Rebuild checkpoints, each in a process of its own, and yield what became of it.

    Args:
        sources: What names checkpoints, see `resolve.resolve`; if empty, every version of a
            registered model that has an alias and was made from a checkpoint.
        trust: See `restore.restore_model`.
        weights: Whether to read the weights; without them only the architecture is rebuilt.

    Raises:
        RecordError: MLflow can't be reached.
        InvalidArgumentError: ``trust`` is not usable.
    """
    names: dict[str, list[str]] = {}
    records: dict[str, CheckpointRecord] = {}
    for source in sources or _aliased():
        try:
            record = resolve(source)
        except TrackerError as error:
            yield Checked((source,), "fails", f"{type(error).__name__}: {error}")
            continue
        records[record.id] = record
        names.setdefault(record.id, []).append(source)
    for identifier, record in records.items():
        report = explain_apart(record, trust=trust, weights=weights)
        if report is not None:
            yield _judged(tuple(names[identifier]), report)


def _aliased() -> list[str]:
    from tracker.record.registry import aliased_checkpoints

    return aliased_checkpoints()


def _judged(names: tuple[str, ...], report: LoadReport) -> Checked:
    if report.error is not None:
        return Checked(names, "fails", report.error, report)
    reasons = [f"the code of {module} has changed" for module in report.diffs]
    differs = report.example is not None and report.example.verdict == "different"
    changed = bool(reasons) or differs
    if report.example is not None:
        reasons.append(f"output for the example {report.example}")
    reasons += [str(change) for change in report.versions]
    told = "; ".join(reasons) or f"by its {report.rebuilt}"
    return Checked(names, "changed" if changed else "ok", told, report)
