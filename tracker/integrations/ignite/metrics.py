"""The metrics that Ignite's engines have at the moment of a checkpoint."""

from __future__ import annotations

import numbers
import warnings
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from ignite.engine import Engine, Events

from tracker.errors import InvalidArgumentError, InvalidMetricError, TrackerWarning
from tracker.saving.request import check_request


class MetricSource:
    """Knows which metrics are those of the weights as they are now.

    An evaluator keeps its metrics until it runs again, while training changes the model. So its
    metrics count only at the iteration of the trainer at which it has run.
    """

    def __init__(
        self, trainer: Engine, evaluators: Engine | Mapping[str, Engine] | None = None
    ) -> None:
        self._trainer = trainer
        self._evaluators = _by_prefix(evaluators)
        self._ran_at: dict[str, tuple[int, int]] = {}
        self._left_out: set[str] = set()
        for prefix, evaluator in self._evaluators.items():
            started = partial(_remember, weakref.ref(trainer), self._ran_at, prefix)
            evaluator.add_event_handler(Events.STARTED, started)

    def now(self) -> dict[str, float]:
        """Return the numbers among the metrics of the evaluators and the trainer, by name.

        The trainer's begin with ``train_``, so that they are not mistaken for what was measured on
        other data. What is no number (a confusion matrix), or has a name that MLflow does not
        allow, is left out; of the latter a warning tells once.
        """
        found = {f"train_{name}": value for name, value in self._trainer.state.metrics.items()}
        now = _moment(self._trainer)
        for prefix, evaluator in self._evaluators.items():
            if self._ran_at.get(prefix) == now:
                found |= {prefix + name: value for name, value in evaluator.state.metrics.items()}
        return self.numbers_of(found)

    def numbers_of(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics that can be logged."""
        numbers_: dict[str, float] = {}
        for name, value in metrics.items():
            if not _is_number(value):
                continue
            try:
                numbers_ |= check_request(None, None, {name: value}, None).metrics
            except InvalidMetricError as error:
                self._warn_once(name, error)
        return numbers_

    def _warn_once(self, name: str, error: InvalidMetricError) -> None:
        if name not in self._left_out:
            self._left_out.add(name)
            warnings.warn(f"{error} It is left out.", TrackerWarning, stacklevel=2)


def _by_prefix(evaluators: Engine | Mapping[str, Engine] | None) -> dict[str, Engine]:
    if evaluators is None:
        return {}
    if isinstance(evaluators, Engine):
        return {"": evaluators}
    if not isinstance(evaluators, Mapping) or not all(
        isinstance(name, str) and isinstance(each, Engine) for name, each in evaluators.items()
    ):
        raise InvalidArgumentError(
            f"evaluators is {evaluators!r:.60}; expected an ignite Engine, or engines by name, "
            'such as {"val": evaluator}, whose metrics are then called val_accuracy.'
        )
    return {f"{name}_" if name else "": each for name, each in evaluators.items()}


def _remember(
    trainer: weakref.ref[Engine], ran_at: dict[str, tuple[int, int]], prefix: str
) -> None:
    running = trainer()
    if running is not None:
        ran_at[prefix] = _moment(running)


def _moment(trainer: Engine) -> tuple[int, int]:
    return trainer.state.epoch, trainer.state.iteration


def _is_number(value: Any) -> bool:
    if isinstance(value, numbers.Real):
        return not isinstance(value, bool)
    size = getattr(value, "numel", None) or getattr(value, "size", None)
    count = size() if callable(size) else size
    return count == 1 and hasattr(value, "item")
