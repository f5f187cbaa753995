"""Importing checkpoints that others wrote."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.importing.one import Wish
from tracker.importing.order import import_all
from tracker.importing.outcome import ImportedCheckpoint
from tracker.saving import tickets

if TYPE_CHECKING:
    from torch import nn

_MAX_LISTED = 5


def import_checkpoints(
    source: str | Path | Sequence[str | Path],
    *,
    model: nn.Module | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    run_name: str | None = None,
    dry_run: bool = False,
    watch: Callable[[ImportedCheckpoint], object] | None = None,
) -> list[ImportedCheckpoint]:
    """Import existing checkpoints: files, folders of them, and those of runs in MLflow.

    Recognised are bare state_dicts, dicts of training scripts, Lightning's ``.ckpt``, folders of
    Hugging Face's Trainer, timm's and Ignite's files, safetensors, and what MLflow's autologging
    leaves in a run. Nothing is ever unpickled but tensors and plain values. Epoch, step and metrics
    come from the content, else the run's history, else the file's name. What was imported before is
    not imported again.

    Args:
        source: A file, a folder, ``runs:/RUN_ID``, ``runs:/RUN_ID/PATH``, or several of these.
        model: The model whose weights they are, so that ``load_model()`` rebuilds it later. The
            weights have to fit into it exactly; it is not changed. Without it the weights are
            imported alone, for `Checkpoint.load_state_dict` and `Checkpoint.load_into`.
        experiment: The experiment's name, made if it is not there; the one in force by default.
        run_id: An existing run to import into. By default those of a run in MLflow stay in it, and
            those of each folder get a run of their own (inside an active run: all go there).
        run_name: The name of one run for all of them.
        dry_run: Say what would be imported, and change nothing.
        watch: Called with each outcome as soon as it is there.

    Returns:
        What became of each. What could not be imported is among them, with the reason, and a
        warning says so; the others are imported all the same.

    Raises:
        NotFoundError: There is no such file, folder or run, or no checkpoint in it.
        InvalidArgumentError: An argument is not usable.
        RecordError: MLflow could not be reached.

    Example:
        >>> imported = tracker.import_checkpoints("old/runs", model=Net(hidden=64))
        >>> imported[0].checkpoint.load_model()
    """
    wish = _wish(model, experiment, run_id, run_name, dry_run)
    sources = [source] if isinstance(source, (str, Path)) else source
    if not isinstance(sources, Sequence) or not sources:
        raise InvalidArgumentError(
            f"source={source!r}: expected a path, runs:/RUN_ID, or a list of these."
        )
    tickets.wait()
    outcomes: list[ImportedCheckpoint] = []
    for outcome in import_all(sources, wish):
        outcomes.append(outcome)
        if watch is not None:
            watch(outcome)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed and watch is None:
        listed = "\n".join(f"  {each.source}: {each.reason}" for each in failed[:_MAX_LISTED])
        warnings.warn(
            f"{len(failed)} of {len(outcomes)} checkpoints could not be imported:\n{listed}",
            TrackerWarning,
            stacklevel=2,
        )
    return outcomes


def _wish(
    model: object, experiment: object, run_id: object, run_name: object, dry_run: bool
) -> Wish:
    from torch import nn

    if model is not None and not isinstance(model, nn.Module):
        raise InvalidArgumentError(
            f"model is a {type(model).__name__}; expected a torch.nn.Module, or None."
        )
    for name, value in (("experiment", experiment), ("run_id", run_id), ("run_name", run_name)):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise InvalidArgumentError(f"{name}={value!r}: expected text, or None.")
    if run_id is not None and (run_name is not None or experiment is not None):
        raise InvalidArgumentError(
            "run_id names a run that is there, with its name and experiment; leave out run_name "
            "and experiment."
        )
    return Wish(experiment, run_id, run_name, model, dry_run)  # type: ignore[arg-type]


def make_model(name: str, arguments: str | None = None) -> nn.Module:
    """Return the model that ``package.module:name`` makes, called with arguments in JSON.

    Raises:
        InvalidArgumentError: There is no such thing, it fails, or it makes no module.
    """
    from tracker.importing import factory

    return factory.make_model(name, arguments)


def read_example(path: Path) -> Any:
    """Return a model's input that ``torch.save`` wrote: tensors and plain containers alone.

    Raises:
        TrackerError: It is no such file, or holds anything else.
    """
    from tracker.importing.safe_load import load_torch

    return load_torch(path)
