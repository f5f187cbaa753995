"""The folder that a ``Trainer`` resumes from, made of a checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import InvalidArgumentError
from tracker.integrations.transformers.contents import CONFIG_FILE, write_files
from tracker.integrations.transformers.export import are_adapters, disk_errors, write_pretrained
from tracker.integrations.transformers.run import continued
from tracker.integrations.transformers.state import STATE_FILE
from tracker.integrations.transformers.training import RANDOM_STATES
from tracker.loading.attached import read_every_attached
from tracker.loading.fetch import fetch, verified
from tracker.loading.latest import first_usable, newest
from tracker.loading.training_state import (
    entries_of,
    random_states,
    read_object,
    training_of,
    values_of,
)
from tracker.saving import tickets
from tracker.training.generators import unpack

if TYPE_CHECKING:
    from torch import nn

    from tracker.format import StoredCheckpoint
    from tracker.types import CheckpointRecord

_WEIGHTS = "model.safetensors"


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
    with _temporary_folder(directory) as parent:
        folder = _write_resumable(checkpoint, parent)
        with continued(checkpoint.run_id) if continue_run else nullcontext():
            yield str(folder)


@contextmanager
def latest_checkpoint_folder(
    model: nn.Module,
    *,
    run_id: str | None = None,
    experiment: str | None = None,
    directory: str | Path | None = None,
    continue_run: bool = True,
) -> Iterator[str | None]:
    """Make the folder of the newest checkpoint of a model, for scripts that are started again.

    If the newest is damaged, or its files are gone, a warning says so and the one before is taken.

    Args:
        model: ``trainer.model``; only checkpoints of its class count.
        run_id: Those of this run; by default of the active one, or ``MLFLOW_RUN_ID``.
        experiment: Those of this experiment; by default, where there is no run either, of the one
            in which a run would be started.
        directory: See `checkpoint_folder`.
        continue_run: See `checkpoint_folder`.

    Yields:
        The folder's path; None if nothing was logged yet, with which ``train()`` begins.

    Raises:
        InvalidArgumentError: The newest was not logged by `TrackerCallback`.
        RecordError: MLflow can't be reached.
        TrackerError: None of those that there are can be used.

    Example:
        >>> with latest_checkpoint_folder(trainer.model, experiment="digits") as folder:
        ...     trainer.train(resume_from_checkpoint=folder)
    """
    tickets.wait()
    with _temporary_folder(directory) as parent:
        made: dict[str, Path] = {}

        def write(record: CheckpointRecord) -> None:
            made[record.id] = _write_resumable(Checkpoint(record), parent / record.id)

        found = first_usable(newest(model, run_id, experiment), write)
        if found is None:
            yield None
            return
        with continued(found.run_id) if continue_run else nullcontext():
            yield str(made[found.id])


@contextmanager
def _temporary_folder(directory: str | Path | None) -> Iterator[Path]:
    with ExitStack() as until:
        with disk_errors(directory or tempfile.gettempdir()):
            made = tempfile.TemporaryDirectory(prefix="tracker-", dir=directory)
            parent = until.enter_context(made)
        yield Path(parent)


def _write_resumable(checkpoint: Checkpoint, parent: Path) -> Path:
    """Write the folder of a checkpoint below another, and return it."""
    folder = parent / f"checkpoint-{checkpoint.step or 0}"
    stored = fetch(checkpoint.record, check=verified(None))
    stored.verify(again=False)
    files = read_every_attached(checkpoint.record)
    if STATE_FILE not in files:
        raise InvalidArgumentError(
            f"The checkpoint {checkpoint.id} ({checkpoint.name}) was not logged by "
            f"TrackerCallback: it has no {STATE_FILE}. tracker.resume() loads weights and "
            "optimizer of any checkpoint into live objects."
        )
    with disk_errors(folder):
        folder.mkdir(parents=True)
        _write_weights(checkpoint, files, folder)
        write_files(folder, {STATE_FILE: files[STATE_FILE]})
        for name, state in _training_files(stored).items():
            with open(folder / name, "wb") as file:
                torch.save(state, file)
    return folder


def _write_weights(checkpoint: Checkpoint, files: Mapping[str, bytes], folder: Path) -> None:
    if are_adapters(files):
        write_pretrained(checkpoint.load_model(verify=False), folder)
    else:
        # Under the names that the live model has for them: Transformers saves some under others,
        # which the Trainer does not find when it resumes.
        checkpoint.export(folder / _WEIGHTS, format="safetensors")
        write_files(folder, {name: files[name] for name in (CONFIG_FILE,) if name in files})


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
