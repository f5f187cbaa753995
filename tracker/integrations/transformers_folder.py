"""Checkpoints as folders of Hugging Face's: for a Trainer to resume from, and `from_pretrained`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import InvalidArgumentError, StorageError
from tracker.integrations.transformers_contents import (
    ARGUMENTS_FILE,
    CONFIG_FILE,
    GENERATION_FILE,
    made_processing_class,
    write_files,
)
from tracker.integrations.transformers_run import continued
from tracker.integrations.transformers_state import STATE_FILE
from tracker.integrations.transformers_training import RANDOM_STATES
from tracker.loading.attached import read_every_attached
from tracker.loading.fetch import fetch, verified
from tracker.loading.training_state import (
    entries_of,
    random_states,
    read_object,
    training_of,
    values_of,
)
from tracker.training.generators import unpack

if TYPE_CHECKING:
    from tracker.format import StoredCheckpoint

_ADAPTER = "adapter_config.json"
_WEIGHTS = "model.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle")


@contextmanager
def checkpoint_folder(
    source: Checkpoint | str | None,
    *,
    directory: str | Path | None = None,
    continue_run: bool = True,
) -> Iterator[str | None]:
    """Make the folder that a ``Trainer`` resumes from, of a checkpoint of `TrackerCallback`.

    Training then goes on exactly where it was: weights, optimizer, scheduler, random numbers, and
    the Trainer's own state. The folder is removed at the end of the block.

    Args:
        source: A checkpoint, or what names one (see `tracker.load_model`). None gives None, with
            which ``train()`` begins anew.
        directory: Where to make it, instead of the system's directory for temporary files. It needs
            about three times the size of the weights.
        continue_run: Whether MLflow's run of the checkpoint goes on, as the active one, unless
            another is active.

    Yields:
        The folder's path, for ``resume_from_checkpoint=``.

    Raises:
        InvalidArgumentError: The checkpoint was not logged by `TrackerCallback`.
        NotFoundError: There is no such checkpoint, or its files are gone.
        CorruptCheckpointError: Its bytes are not those that were written.
        StorageError: The disk refused.

    Example:
        >>> with checkpoint_folder(tracker.get_checkpoint(experiment="digits")) as folder:
        ...     trainer.train(resume_from_checkpoint=folder)
    """
    if source is None:
        yield None
        return
    checkpoint = as_checkpoint(source)
    with ExitStack() as until:
        with _disk_errors(directory or tempfile.gettempdir()):
            parent = until.enter_context(
                tempfile.TemporaryDirectory(prefix="tracker-", dir=directory)
            )
            folder = Path(parent) / f"checkpoint-{checkpoint.step or 0}"
            folder.mkdir()
            _write_resumable(checkpoint, folder)
        if continue_run:
            until.enter_context(continued(checkpoint.run_id))
        yield str(folder)


def _write_resumable(checkpoint: Checkpoint, folder: Path) -> None:
    stored = fetch(checkpoint.record, check=verified(None))
    stored.verify(again=False)
    files = read_every_attached(checkpoint.record)
    if STATE_FILE not in files:
        raise InvalidArgumentError(
            f"The checkpoint {checkpoint.id} ({checkpoint.name}) was not logged by "
            f"TrackerCallback: it has no {STATE_FILE}. tracker.resume() loads weights and "
            "optimizer of any checkpoint into live objects."
        )
    write_files(folder, {STATE_FILE: files[STATE_FILE]})
    if _are_adapters(files):
        _save_pretrained(checkpoint.load_model(verify=False), folder)
    else:
        # Under the names that the live model has for them: Transformers saves some under others,
        # which the Trainer does not find when it resumes.
        checkpoint.export(folder / _WEIGHTS, format="safetensors")
        write_files(folder, {name: files[name] for name in (CONFIG_FILE,) if name in files})
    for name, state in _training_files(stored).items():
        with open(folder / name, "wb") as file:
            torch.save(state, file)


def _training_files(stored: StoredCheckpoint) -> dict[str, Any]:
    """Return what the Trainer reads beside the weights, by the names of its files."""
    training = training_of(stored)
    entries = {**entries_of(training), **{k: v for k, v in training.items() if v}}
    found: dict[str, Any] = {}
    for part, file in (
        ("optimizer", "optimizer.pt"),
        ("scheduler", "scheduler.pt"),
        ("scaler", "scaler.pt"),
    ):
        if isinstance(entries.get(part), dict):
            found[file] = read_object(stored, entries[part], part).state
    return found | _random_files(stored)


def _random_files(stored: StoredCheckpoint) -> dict[str, Any]:
    everywhere = values_of(stored).get(RANDOM_STATES)
    if isinstance(everywhere, list):
        return {
            f"rng_state_{rank}.pth": _as_the_trainers(state, many=True)
            for rank, state in enumerate(everywhere)
        }
    states, _ = random_states(stored) or ({}, 1)
    return {"rng_state.pth": _as_the_trainers(states[0], many=False)} if 0 in states else {}


def _as_the_trainers(state: Mapping[str, Any], *, many: bool) -> dict[str, Any]:
    """Return the states of random generators as the Trainer reads them.

    Args:
        state: As `random_state.capture` returned them.
        many: Whether several processes train, each of which may have several devices.
    """
    found = {"python": unpack(state["python"]), "cpu": state["torch"]}
    if "numpy" in state:
        found["numpy"] = dict(state["numpy"])
    if state.get("cuda"):
        found["cuda"] = list(state["cuda"]) if many else state["cuda"][0]
    return found


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
    with _disk_errors(target), ExitStack() as until:
        target.parent.mkdir(parents=True, exist_ok=True)
        parent = until.enter_context(tempfile.TemporaryDirectory(prefix=".", dir=target.parent))
        folder = Path(parent) / "folder"
        folder.mkdir()
        _save_pretrained(model, folder)
        for name, content in files.items():
            of_the_base = _are_adapters(files) and name in (CONFIG_FILE, GENERATION_FILE)
            if _is_of_a_model(name) and not of_the_base and not (folder / name).exists():
                write_files(folder, {name: content})
        os.replace(folder, target)
    return target


def _are_adapters(files: Mapping[str, bytes]) -> bool:
    return any(name.rpartition("/")[2] == _ADAPTER for name in files)


def _is_of_a_model(name: str) -> bool:
    # Whoever made the checkpoint chose the names; no file that might be unpickled is written.
    return name not in (STATE_FILE, ARGUMENTS_FILE) and not name.casefold().endswith(_PICKLES)


def _save_pretrained(model: Any, folder: Path) -> None:
    if not callable(getattr(model, "save_pretrained", None)):
        raise InvalidArgumentError(
            f"The model is a {type(model).__name__}, which has no save_pretrained(): it is neither "
            "of Transformers nor of PEFT. checkpoint.export(path) writes its weights."
        )
    model.save_pretrained(str(folder))


@contextmanager
def _disk_errors(place: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{place}: can't be written: {error.strerror or error}.") from error
