"""Checkpoints for programs of Hugging Face's that do not know tracker, and their tokenizers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import InvalidArgumentError, StorageError
from tracker.integrations.transformers.contents import (
    ARGUMENTS_FILE,
    CONFIG_FILE,
    GENERATION_FILE,
    made_processing_class,
    write_files,
)
from tracker.integrations.transformers.state import STATE_FILE
from tracker.loading.attached import read_every_attached

_ADAPTER = "adapter_config.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle")


def load_processing_class(source: Checkpoint | str) -> Any:
    """Return the tokenizer, image processor, feature extractor or processor of a checkpoint.

    Only classes of Transformers itself are made, and nothing is asked of the Hub.

    Args:
        source: A checkpoint, or what names one (see `tracker.load_model`).

    Raises:
        NotFoundError: There is none beside the model; or there is no such checkpoint.
        InvalidArgumentError: Transformers can't make it; says why.
        CorruptCheckpointError: Its bytes are not those that were written.

    Example:
        >>> checkpoint = tracker.best_checkpoint("eval_loss")
        >>> tokenizer, model = load_processing_class(checkpoint), checkpoint.load_model()
        >>> model(**tokenizer("what a lovely day", return_tensors="pt")).logits
    """
    checkpoint = as_checkpoint(source)
    return made_processing_class(read_every_attached(checkpoint.record), checkpoint.name)


def save_pretrained_folder(
    source: Checkpoint | str,
    path: str | Path,
    *,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint as ``save_pretrained`` does: weights, configuration, tokenizer.

    ``AutoModel….from_pretrained(path)`` and ``AutoTokenizer.from_pretrained(path)`` read it. Of a
    PEFT model it holds the adapters: ``PeftModel.from_pretrained(base, path)``.

    Args:
        source: A checkpoint, or what names one (see `tracker.load_model`).
        path: The folder; it must not be there yet, or be empty.
        trust: See `tracker.load_model`.
        classes: See `tracker.load_model`.

    Returns:
        The folder.

    Raises:
        InvalidArgumentError: The model has no ``save_pretrained``, or the folder is not empty.
        ArchitectureError: The model can't be rebuilt here.
        NotFoundError: There is no such checkpoint, or its files are gone.
        StorageError: The disk refused; there is no such folder.

    Example:
        >>> save_pretrained_folder(tracker.best_checkpoint("eval_loss"), "best")
        PosixPath('best')
        >>> AutoModelForSequenceClassification.from_pretrained("best")
    """
    checkpoint, target = as_checkpoint(source), Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgumentError(f"{target}: is there already, and not an empty folder.")
    model = checkpoint.load_model(trust=trust, classes=classes)
    files = read_every_attached(checkpoint.record)
    with disk_errors(target), ExitStack() as until:
        target.parent.mkdir(parents=True, exist_ok=True)
        parent = until.enter_context(tempfile.TemporaryDirectory(prefix=".", dir=target.parent))
        folder = Path(parent) / "folder"
        folder.mkdir()
        write_pretrained(model, folder)
        for name, content in files.items():
            of_the_base = are_adapters(files) and name in (CONFIG_FILE, GENERATION_FILE)
            if _is_of_a_model(name) and not of_the_base and not (folder / name).exists():
                write_files(folder, {name: content})
        os.replace(folder, target)
    return target


def are_adapters(files: Mapping[str, bytes]) -> bool:
    """Return whether the files beside a model are those of PEFT."""
    return any(name.rpartition("/")[2] == _ADAPTER for name in files)


def _is_of_a_model(name: str) -> bool:
    # Whoever made the checkpoint chose the names; no file that might be unpickled is written.
    return name not in (STATE_FILE, ARGUMENTS_FILE) and not name.casefold().endswith(_PICKLES)


def write_pretrained(model: Any, folder: Path) -> None:
    """Write a model as its ``save_pretrained`` does.

    Raises:
        InvalidArgumentError: It has none.
    """
    if not callable(getattr(model, "save_pretrained", None)):
        raise InvalidArgumentError(
            f"The model is a {type(model).__name__}, which has no save_pretrained(): it is neither "
            "of Transformers nor of PEFT. checkpoint.export(path) writes its weights."
        )
    model.save_pretrained(str(folder))


@contextmanager
def disk_errors(place: str | Path) -> Iterator[None]:
    """Turn the disk's errors into StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{place}: can't be written: {error.strerror or error}.") from error
