"""Runs a few steps, resumes, runs them again, and finds out why that was not the same.

What a step can reach is looked at before the first step and after the resume: what is another then,
was not restored. If the replay differs, it is tried which of these things explains it: they are put
back by hand, all of them, and all but one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tracker.errors import InvalidArgumentError
from tracker.loading.into import check_model
from tracker.rehearsal.causes import lost_component, lost_loader, lost_thing, unseen
from tracker.rehearsal.kernels import kernels_by_chance
from tracker.rehearsal.loaders import Watched
from tracker.rehearsal.passes import Step, compare, component_differences
from tracker.rehearsal.report import Difference, NotRestored, ResumeReport, Verdict
from tracker.rehearsal.stage import Stage
from tracker.rehearsal.things import STATEFUL, Thing
from tracker.training.world import world_size

_MAX_TRIED = 12
"""Things that are each left out once; each costs as many steps."""


def rehearse(
    step: Callable[[], Any],
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    steps: int = 3,
) -> ResumeReport:
    """Try whether training goes on exactly from a checkpoint that is logged now.

    Raises:
        InvalidArgumentError: An argument is not usable, or several processes train together.
        UnstorableError: Something of the state can't be stored.
        MismatchError: An object refuses the state that it has given.
    """
    _check(step, model, steps)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "state": state}
    with tempfile.TemporaryDirectory(prefix="tracker-rehearsal-") as folder:
        stage = Stage(step, model, parts, Path(folder) / "checkpoint")
        try:
            found = _Rehearsal(stage, steps)
            verdict = found.verdict()
        finally:
            stage.leave()
    notes = tuple(dict.fromkeys((*found.notes, *stage.notes)))
    return ResumeReport(
        verdict, found.count, tuple(found.differences), tuple(found.not_restored), notes
    )


def _check(step: object, model: object, steps: object) -> None:
    check_model(model)
    if not callable(step):
        raise InvalidArgumentError(
            f"step is a {type(step).__name__}; expected a function without arguments that does one "
            "training step, and may return the loss."
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InvalidArgumentError(f"steps={steps!r}: expected 1 or more.")
    if world_size() > 1:
        raise InvalidArgumentError(
            "verify_resume() tries a training in one process, and this is one of "
            f"{world_size()} in torch.distributed; call it in a script that trains alone."
        )


class _Rehearsal:
    """The passes of a rehearsal, and what they have shown."""

    def __init__(self, stage: Stage, steps: int) -> None:
        self._stage = stage
        self.not_restored: list[NotRestored] = []
        self.notes: list[str] = []
        self._first = stage.first_pass(steps)
        self.count = len(self._first)
        if self._first[-1].error:
            raise _failed(self._first[-1], self.count)
        drawn = stage.loaders.drawn()
        self._names = stage.names()
        resumed = stage.resume()
        self._lost_components = [*component_differences(stage.before, resumed)]
        self._suspects = [thing for thing in stage.things if stage.has_moved(thing)]
        self._second = stage.replay(steps)
        self._names = stage.names() | self._names
        # Those that the first steps have made, and go on with, are of this pass alone.
        drawn += [each for each in stage.loaders.drawn() if each not in drawn]
        self._loaders = [each for each in drawn if not stage.loaders.is_given(each)]
        self.differences: list[Difference] = compare(self._first, self._second)

    def verdict(self) -> Verdict:
        """Find out what was not restored; return the verdict."""
        for name, detail in self._lost_components:
            self.not_restored.append(lost_component(name, detail))
        matter: list[Thing | Watched] = []
        explained = True
        if self.differences:
            explained, matter = self._try_things()
        for each in self._loaders:
            self.not_restored.append(lost_loader(each, self._name_of(each), each in matter))
        of_loaders = {each.name for each in self.not_restored}
        for thing in self._suspects:
            if thing.kind == "iterator" and thing.name in of_loaders:
                continue  # the function around the loader, or the like
            if thing.kind in STATEFUL or thing in matter or self._may_be(thing, explained):
                self.not_restored.append(lost_thing(thing, thing in matter))
        self.not_restored.sort(key=lambda each: not each.confirmed)
        if explained:
            return "not restored" if self.not_restored else "exact"
        return self._unexplained()

    def _may_be(self, thing: Thing, explained: bool) -> bool:
        """Return whether a plain value or an iterator may be the reason, as far as is known."""
        return not explained and (thing.kind == "iterator" or not self._stage.can_put_back(thing))

    def _try_things(self) -> tuple[bool, list[Thing | Watched]]:
        """Return whether putting things back explains the differences, and which of them matter."""
        suspects: list[Thing | Watched] = [*self._loaders, *self._suspects]
        if self._differs_without(None):
            return False, []
        tried = suspects[:_MAX_TRIED]
        if len(suspects) == 1:
            return True, suspects
        return True, [each for each in tried if self._differs_without(each)]

    def _differs_without(self, left_out: Thing | Watched | None) -> bool:
        """Replay with everything put back but one thing; return whether it differs."""
        return bool(compare(self._first, self._stage.replay_with_all(self.count, left_out)))

    def _unexplained(self) -> Verdict:
        """Replay twice more to tell chance from what is out of sight."""
        one, other = (self._stage.replay_with_all(self.count) for _ in range(2))
        again = compare(one, other)
        inputs_differ = any(d.what == "input" for d in (*self.differences, *again))
        if not any(each.kind in ("loader", "iterator") for each in self.not_restored):
            self.notes += unseen(changes=bool(again), inputs_differ=inputs_differ)
        if again and not inputs_differ:
            with kernels_by_chance() as kernels:
                self._stage.replay_with_all(self.count)
            self.notes += [f"torch says: {each}" for each in kernels]
        if self.not_restored:
            return "not restored"
        return "nondeterministic" if again and not inputs_differ else "unknown"

    def _name_of(self, watched: Watched) -> str:
        unnamed = type(watched.iterator).__name__.lstrip("_")
        return self._names.get(id(watched.iterator), unnamed)


def _failed(step: Step, number: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"step raised at step {number}, before anything was resumed, so nothing can be said: "
        f"{step.error}. Everything is as it was before."
    )
