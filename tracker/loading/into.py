"""Puts a checkpoint's weights into a model that is there already."""

from __future__ import annotations

from torch import nn

from tracker.architecture.wrappers import unwrapped
from tracker.errors import InvalidArgumentError, MismatchError
from tracker.format import StoredCheckpoint
from tracker.loading.fitting import WeightsReport, compare_weights, live_keys, refusal
from tracker.loading.together import Load, load_together
from tracker.loading.weights import restore_state_for


def load_into(
    stored: StoredCheckpoint,
    model: nn.Module,
    *,
    strict: bool = True,
    prefix: str | None = None,
    verify: bool = True,
) -> WeightsReport:
    """Load weights into a live model, and say which.

    Everything is read and compared before the model is touched.

    Args:
        stored: The opened files.
        model: The model; its tensors keep their device and dtype.
        strict: Whether everything must fit; otherwise what fits is loaded.
        prefix: The part of the logged model that ``model`` is.
        verify: Compare the bytes with their digests first.

    Raises:
        MismatchError: With ``strict``, something does not fit; or the model refused its state.
        NotFoundError: The checkpoint has no such part.
        CorruptCheckpointError: The bytes are not those that were written.
    """
    inner = unwrapped(check_model(model))
    weights = restore_state_for(inner, stored, prefix=prefix, verify=verify)
    report = compare_weights(weights, inner)
    if strict and not report.complete:
        part = f"{prefix!r} of the one" if prefix else "the one"
        logged = f"{part} that was logged ({stored.manifest.architecture.model_text})"
        raise MismatchError(
            refusal(f"The model is not {logged}", report.problems())
            + "\nWith strict=False, what fits is loaded."
        )
    left_out = {*report.unexpected, *(mismatch.key for mismatch in report.mismatched)}
    fitting = {key: value for key, value in weights.items() if key not in left_out}
    load_together([Load("model", inner, live_keys(fitting, inner), strict=strict)])
    return report


def check_model(model: object) -> nn.Module:
    """Return a model that something can be loaded into.

    Raises:
        InvalidArgumentError: It is none.
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(f"model is a {type(model).__name__}, not a torch.nn.Module.")
    return model
