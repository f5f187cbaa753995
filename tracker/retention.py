"""Which checkpoints of a run are to stay, as its training says it; `deleting.policy` judges."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

from tracker.direction import direction
from tracker.errors import InvalidArgumentError
from tracker.types import Mode

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Retention:
    """Which checkpoints stay when a newer one is logged; the others are deleted.

    A checkpoint stays if one of the rules keeps it. The newest always stays, and so does what is
    registered, what has the tag ``tracker.keep``, and every file that a checkpoint that stays
    needs. Models of different classes in one run are judged apart.

    ``keep_best``, ``monitor`` and ``mode`` are what ``save_top_k``, ``monitor`` and ``mode`` are in
    Lightning's ``ModelCheckpoint``.

    Attributes:
        keep_last: How many of the newest stay, 1 or more. None: no such rule.
        keep_best: How many with the best values of ``monitor`` stay, 1 or more. A checkpoint
            without the metric, or with a NaN, is never among them; of equal ones the earlier epoch
            is better. None: no such rule.
        monitor: The metric by which ``keep_best`` judges.
        mode: ``"min"`` or ``"max"``; may be left out where the metric's name leaves no doubt (loss,
            accuracy, …), and is filled in then.
        keep_every: Those stay whose epoch is divisible by this, 1 or more; of a checkpoint without
            an epoch it is the step that counts. None: no such rule.

    Raises:
        InvalidArgumentError: There is no rule, a number is not 1 or more, ``keep_best`` and
            ``monitor`` were not given together, or the direction is not clear.

    Example:
        >>> retention = tracker.Retention(keep_last=2, keep_best=3, monitor="val_loss")
        >>> tracker.log_checkpoint(
        ...     model, epoch=7, metrics={"val_loss": 0.31}, retention=retention
        ... )
    """

    keep_last: int | None = None
    keep_best: int | None = None
    monitor: str | None = None
    mode: Mode | None = None
    keep_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_best", "keep_every"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        if self.keep_last is None and self.keep_best is None and self.keep_every is None:
            raise InvalidArgumentError(
                "A retention needs a rule: give keep_last=, keep_best= with monitor=, or "
                "keep_every=. To keep every checkpoint, give no retention."
            )
        object.__setattr__(self, "mode", self._direction())

    def _direction(self) -> Mode | None:
        if self.keep_best is None:
            if self.monitor is not None or self.mode is not None:
                raise InvalidArgumentError(
                    f"monitor={self.monitor!r} and mode={self.mode!r} say which are the "
                    "best: give keep_best= too, the number of them that stay."
                )
            return None
        if not isinstance(self.monitor, str) or not self.monitor.strip():
            raise InvalidArgumentError(
                f"keep_best={self.keep_best} needs the name of the metric that it judges by: "
                f"monitor='val_loss', for example, not {self.monitor!r}."
            )
        return direction(self.monitor, self.mode)


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    is_whole = not isinstance(value, bool) and isinstance(value, numbers.Integral)
    # Of 0 and -1 other tools mean "none" or "all": not to be guessed where things are deleted.
    if not is_whole or not 0 < int(value) <= _MOST:
        raise InvalidArgumentError(
            f"{name}={value!r}: expected a whole number, 1 or more; leave it out for no such rule."
        )
    return int(value)
