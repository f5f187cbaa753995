"""What a rehearsal of a resume has shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "random", "generator", "loader", "iterator", "optimizer", "scheduler", "buffer", "module",
    "object", "gradients", "variable",
]  # fmt: skip
"""``random``: a global generator; ``buffer``: one of the model that is not in its state_dict;
``object``: anything else with a ``state_dict()``; ``gradients``: the model's; ``variable``: any
other value."""

Verdict: TypeAlias = Literal["exact", "not restored", "nondeterministic", "unknown"]


@dataclass(frozen=True, slots=True)
class NotRestored:
    """Something that training depends on and that a checkpoint does not bring back.

    Attributes:
        name: What it is called where ``step`` finds it, for example ``trainer.ema``.
        kind: What it is.
        evidence: How that was found, in words.
        remedy: What to do about it.
        confirmed: Whether the replay was exact when this was put back by hand, and not otherwise.
    """

    name: str
    kind: Kind
    evidence: str
    remedy: str
    confirmed: bool = False

    def __str__(self) -> str:
        sure = " (confirmed)" if self.confirmed else ""
        return f"{self.name}{sure}: {self.evidence}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was another in the replay.

    Attributes:
        step: At which step it was so first; the first is 1.
        what: ``input``, ``result``, ``weights``, ``buffers``, ``optimizer``, ``scheduler``,
            ``state.<name>``, ``random numbers``, or ``error``.
        detail: Which, or from what to what.
    """

    step: int
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"step {self.step}: {self.what}{f': {self.detail}' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class ResumeReport:
    """Whether training goes on exactly from a checkpoint, and what keeps it from doing so.

    It is true if it does: ``assert tracker.verify_resume(step, model=model, optimizer=optimizer)``.

    Attributes:
        verdict: ``exact``; ``not restored`` if something is lost; ``nondeterministic`` if the same
            state and inputs give other results each time; ``unknown`` if the replay differs and
            nothing was found that would explain it.
        steps: How many steps were run and replayed.
        differences: What was another in the replay, in the order in which it showed.
        not_restored: What is lost, the surest first.
        notes: What else is to be known, for example what could not be put back as it was.

    Example:
        >>> print(tracker.verify_resume(step, model=model, optimizer=optimizer))
        resume is not exact: 3 steps were replayed
        not restored:
          ema (confirmed): an AveragedModel that step has changed, and no checkpoint has. Pass it …
        differences:
          step 1: result: 0.693 then 0.701
    """

    verdict: Verdict
    steps: int
    differences: tuple[Difference, ...] = ()
    not_restored: tuple[NotRestored, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether training goes on as if it had not stopped."""
        return self.verdict == "exact"

    def __bool__(self) -> bool:
        return self.exact

    def __str__(self) -> str:
        lines = [_HEADLINES[self.verdict].format(_count(self.steps, "step"))]
        for title, found in (
            ("not restored", self.not_restored),
            ("differences", self.differences),
            ("notes", self.notes),
        ):
            if found:
                lines += [f"{title}:", *(f"  {each}" for each in found)]
        return "\n".join(lines)


_HEADLINES: dict[Verdict, str] = {
    "exact": "resume is exact: {} were replayed, bit for bit",
    "not restored": "resume is not exact: {} were replayed",
    "nondeterministic": (
        "resume can't be exact: {} were replayed from the same state with the same inputs, and "
        "gave other results each time"
    ),
    "unknown": (
        "resume is not exact: {} were replayed, and nothing was found that would explain what "
        "differs"
    ),
}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
