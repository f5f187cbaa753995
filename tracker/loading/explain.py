"""Says in words how a checkpoint's model comes about."""

from __future__ import annotations

from tracker.format import StoredCheckpoint
from tracker.types import CheckpointRecord, Rebuild

_WAYS: dict[Rebuild, str] = {
    "constructor": "by its constructor, proven when it was logged to give the same model",
    "structure": "from its module tree as it stood, proven when it was logged to give the same "
    "model",
    "none": "not by itself: the weights have to be loaded into an instance",
}


def explain(record: CheckpointRecord, stored: StoredCheckpoint) -> str:
    """Return a few lines: the way to rebuild, the classes' source, what stood in other ways."""
    manifest = stored.manifest
    architecture = manifest.architecture
    lines = [
        f"{record.name} of run {record.run_id}: {architecture.model_text}",
        f"class: {architecture.model_class}",
        f"rebuilt: {_WAYS[architecture.rebuild]}",
    ]
    lines += [
        f"source of {entry.module}: kept in the checkpoint ({entry.path or 'a notebook'})"
        for entry in manifest.source
    ]
    packages = manifest.environment.get("packages")
    if isinstance(packages, dict):
        lines.append("made with: " + ", ".join(f"{k} {v}" for k, v in packages.items()))
    lines += [f"stood in the way: {problem}" for problem in architecture.problems]
    return "\n".join(lines)
