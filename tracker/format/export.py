"""One plain safetensors file of a checkpoint's weights, for programs that don't know tracker."""

from __future__ import annotations

from pathlib import Path

from tracker.format.canonical import dumps
from tracker.format.dtypes import DTYPES
from tracker.format.files import replacing, sync_directory
from tracker.format.manifest import Manifest
from tracker.format.read import StoredCheckpoint
from tracker.format.tensors import plan_tensors, write_tensors
from tracker.types import FileEntry


def export_state_dict(stored: StoredCheckpoint, path: Path) -> FileEntry:
    """Write the model's state_dict to one file that ``safetensors.torch.load_file`` reads.

    Every key is there with its own bytes, tied ones too. What the checkpoint says about the model
    is in the file's metadata, as text, under keys that begin with ``tracker.``.

    Args:
        stored: The checkpoint; its weights are verified first.
        path: The file, which is replaced if it is there.

    Returns:
        The file's size and the digest of its header.

    Raises:
        CorruptCheckpointError: The weights differ from what was written.
        StorageError: The disk refused; a file that was there is unchanged.
    """
    tensors = stored.tensors("model")
    metadata = _metadata(stored.manifest)
    with replacing(path, plan_tensors(tensors, metadata).size) as file:
        entry = write_tensors(file, tensors, metadata=metadata)
    sync_directory(path.parent)
    return entry


def _metadata(manifest: Manifest) -> dict[str, str]:
    """Return what is known about the weights, as text."""
    texts = {
        "format": "pt",
        "tracker.name": manifest.name,
        "tracker.run_id": manifest.run_id,
        "tracker.model_class": manifest.architecture.model_class,
        "tracker.model": manifest.architecture.model_text,
        "tracker.params": dumps(dict(manifest.architecture.params)).decode(),
        "tracker.metrics": dumps(
            {name: repr(value) for name, value in manifest.metrics.items()}
        ).decode(),
    }
    for key in ("epoch", "step"):
        number = getattr(manifest, key)
        if number is not None:
            texts[f"tracker.{key}"] = str(number)
    if manifest.state_values:
        texts["tracker.state_values"] = dumps(manifest.state_values).decode()
    views = {
        name: entry.dtype
        for name, entry in manifest.tensors.get("model", {}).items()
        if DTYPES[entry.dtype].is_view
    }
    if views:
        texts["tracker.dtypes"] = dumps(dict(views)).decode()
    return texts
