"""Using a checkpoint: load, resume, explain, check, verify, fetch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import TrackerError
from tracker.loading.apart import explain_apart
from tracker.loading.check import Checked, check
from tracker.loading.verify import Verified, condition_of, verify

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tracker.loading.report import LoadReport


def load_model(
    source: Checkpoint | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    trust: str | Collection[str] | None = None,
    classes: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> nn.Module:
    """Rebuild the model of a checkpoint, in eval mode. See `Checkpoint.load_model`.

    Args:
        source: A checkpoint; its id or a unique beginning of it; ``runs:/RUN_ID/epoch-6``;
            ``models:/NAME@alias``, ``models:/NAME/VERSION`` or ``models:/m-…``.
        device: Where its tensors go.
        dtype: What its floating-point tensors are converted to.
        trust: What the checkpoint may refer to beyond its own package.
        classes: Classes by name, where they are not importable.
        verify: Compare every byte with its digest first.

    Example:
        >>> model = tracker.load_model("runs:/0a1b2c/epoch-6")
    """
    return as_checkpoint(source).load_model(
        device=device, dtype=dtype, trust=trust, classes=classes, verify=verify
    )


def explain_if_at_hand(checkpoint: Checkpoint) -> LoadReport | None:
    """Return `Checkpoint.explain`, made in another process; None if its files are elsewhere."""
    return explain_apart(checkpoint.record, download=False)


def check_checkpoints(
    sources: Sequence[str] = (), *, trust: Collection[str] = (), weights: bool = True
) -> Iterator[Checked]:
    """Rebuild checkpoints with the code that is importable now, each in a process of its own.

    Args:
        sources: See `load_model`; if empty, every version of a registered model that has an alias
            and was made from a checkpoint.
        trust: See `load_model`.
        weights: Whether to read the weights; without them only the architecture is rebuilt.

    Raises:
        RecordError: MLflow can't be reached.
    """
    return check(sources, trust=trust, weights=weights)


def verify_checkpoints(sources: Iterable[Checkpoint | str]) -> Iterator[Verified]:
    """Read every byte of checkpoints again and compare it with its digest; yield what was found.

    One that is damaged, or not there, does not keep the others from being read.

    Args:
        sources: See `load_model`.
    """
    for source in sources:
        try:
            record = as_checkpoint(source).record
        except TrackerError as error:
            yield Verified(str(source), None, "", condition_of(error), str(error))
        else:
            yield verify(record)


def fetch_checkpoint(source: Checkpoint | str) -> Path:
    """Return the folder that has a checkpoint's files; those of a remote store are fetched into it.

    Args:
        source: See `load_model`.

    Raises:
        NotFoundError: The files are gone.
        RecordError: The artifact store can't be reached.
    """
    from tracker.loading.fetch import fetch, verified

    return fetch(as_checkpoint(source).record, check=verified(None)).directory
