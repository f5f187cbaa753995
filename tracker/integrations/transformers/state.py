"""What the Trainer's arguments and state say, in the words of `log_checkpoint`."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from tracker.errors import InvalidMetricError
from tracker.retention import Retention
from tracker.saving.request import check_request

STATE_FILE = "trainer_state.json"
"""The Trainer's state beside the model, under the name that it has in the Trainer's folders."""

_BOOKKEEPING = frozenset(
    {"epoch", "step", "total_flos", "num_input_tokens_seen", "train_tokens_per_second"}
)
_TIMING = re.compile(
    r".*_(runtime|(samples|steps|tokens)_per_second|jit_compilation_time|model_preparation_time)"
)
_END_OF_TRAINING = "train_runtime"
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_\-\.\ :/]")


def metrics_of(state: Any) -> dict[str, float]:
    """Return the metrics that the Trainer has logged at its present step, without timings.

    Names have the characters that MLflow allows, as those of Transformers' own MLflow callback.

    Args:
        state: The ``TrainerState``.

    Example:
        >>> metrics_of(trainer.state)
        {'loss': 0.71, 'learning_rate': 2e-05, 'eval_loss': 0.64, 'eval_accuracy': 0.83}
    """
    entries: list[Mapping[str, Any]] = []
    for entry in reversed(state.log_history):  # which may be long, and is in the order of steps
        if entry.get("step") != state.global_step:
            break
        if _END_OF_TRAINING not in entry:
            entries.insert(0, entry)
    found: dict[str, float] = {}
    for key, value in (pair for entry in entries for pair in entry.items()):
        name = _NOT_IN_NAMES.sub("_", str(key))
        if _is_metric(key, value) and _is_allowed(name):
            found[name] = float(value)
    return found


def _is_metric(key: object, value: object) -> bool:
    if key in _BOOKKEEPING or _TIMING.fullmatch(str(key)) or isinstance(value, bool):
        return False
    if isinstance(value, numbers.Real):
        return True
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and math.prod(shape) == 1


def _is_allowed(name: str) -> bool:
    try:
        check_request(None, None, {name: 0.0}, None)
    except InvalidMetricError:
        return False
    return True


def epoch_of(state: Any) -> int | None:
    """Return how many epochs are done, as the Trainer counts them; None in the midst of one."""
    epoch = state.epoch
    if not isinstance(epoch, numbers.Real) or not math.isfinite(epoch):
        return None
    whole = round(float(epoch))
    return whole if whole > 0 and abs(float(epoch) - whole) < 1e-6 else None


def retention_of(args: Any) -> Retention | None:
    """Return what the arguments say about which checkpoints stay, or None if all do.

    These are the last ``save_total_limit``, and the best, if there is a metric for it.

    Args:
        args: The ``TrainingArguments``.
    """
    limit = args.save_total_limit
    if limit is None or limit <= 0:
        return None
    monitor = monitored(args)
    if monitor is None:
        return Retention(keep_last=limit)
    mode: Any = "max" if args.greater_is_better else "min"
    return Retention(keep_last=limit, keep_best=1, monitor=monitor, mode=mode)


def monitored(args: Any) -> str | None:
    """Return the metric by which the Trainer tells the best checkpoint; None if it does not."""
    name = args.metric_for_best_model
    if not name:
        return None
    full = name if name.startswith("eval_") else f"eval_{name}"
    return _NOT_IN_NAMES.sub("_", full)


def written_state(state: Any) -> bytes:
    """Return a ``TrainerState`` as the content of ``trainer_state.json``.

    Raises:
        TypeError: Something in it is no JSON.
    """
    return _json(dataclasses.asdict(state))


def _json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, indent=2, sort_keys=True, default=_plain)
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    """Return what a log may hold beside plain numbers: scalars of NumPy and torch."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} in the Trainer's state is no JSON")
