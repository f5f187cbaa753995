"""How a command is told which checkpoint: one way for all of them.

A checkpoint is named by its id (or a unique beginning of it), ``runs:/RUN_ID/NAME`` or
``models:/…``; or it is picked from a run, whose id is the argument, or from an experiment, by one
of ``--epoch``, ``--step``, ``--best`` and ``--latest``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.completing import complete_experiments, complete_metrics
from tracker.cli.options import Command, mode_option

if TYPE_CHECKING:
    from tracker.checkpoint import Checkpoint

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_WAYS = "--epoch N, --step N, --best METRIC or --latest"

_OPTIONS = (
    click.option(
        "--experiment",
        metavar="NAME",
        shell_complete=complete_experiments,
        help=f"Pick from this experiment, with one of {_WAYS}.",
    ),
    click.option("--epoch", type=click.IntRange(min=0), metavar="N", help="The one of this epoch."),
    click.option("--step", type=click.IntRange(min=0), metavar="N", help="The one of this step."),
    click.option(
        "--best",
        metavar="METRIC",
        shell_complete=complete_metrics,
        help="The one at which this metric was best.",
    ),
    mode_option,
    click.option("--latest", is_flag=True, help="The one that was logged last."),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checkpoints a command was told to take.

    Attributes:
        sources: The arguments: what names checkpoints, or the ids of runs to pick from.
        experiment: The experiment to pick from, or (see `selects`) whose checkpoints are all taken.
        epoch: Pick that of an epoch.
        step: Pick that of a step.
        best: Pick that at which a metric was best.
        mode: Which is better, for ``best``.
        latest: Pick the newest.
        everything: Take all of them.
    """

    sources: tuple[str, ...] = ()
    experiment: str | None = None
    epoch: int | None = None
    step: int | None = None
    best: str | None = None
    mode: str | None = None
    latest: bool = False
    everything: bool = False

    def __post_init__(self) -> None:
        if self._ways > 1:
            raise click.UsageError(f"Give one of {_WAYS}; --epoch and --step go together.")
        if self.mode is not None and self.best is None:
            raise click.UsageError("--mode says which values of --best METRIC are better.")
        if self.everything:
            if self.sources or self._ways:
                raise click.UsageError("--all takes all there are; only --experiment goes with it.")
        elif self.experiment is not None:
            self._check_experiment()
        elif self._ways:
            self._check_runs()

    def _check_experiment(self) -> None:
        if self.sources:
            raise click.UsageError(
                f"{self.sources[0]!r} and --experiment: pick from a run or from an experiment."
            )
        if not self._ways:
            raise click.UsageError(f"Say which checkpoint of the experiment: {_WAYS}.")

    def _check_runs(self) -> None:
        if not self.sources:
            raise click.UsageError("Say where to pick from: a RUN_ID, or --experiment NAME.")
        for source in map(_run_of, self.sources):
            if ":" in source or "/" in source or source.startswith("m-"):
                raise click.UsageError(
                    f"{source!r} names one checkpoint already; {_WAYS} go with a RUN_ID or "
                    "--experiment NAME."
                )

    @property
    def _ways(self) -> int:
        """How many ways to pick were given."""
        number = self.epoch is not None or self.step is not None
        return number + (self.best is not None) + self.latest

    def one(self) -> Checkpoint:
        """Return the checkpoint that was meant, for a command that takes one.

        Raises:
            UsageError: None was named, or several.
            TrackerError: There is no such checkpoint.
        """
        if len(self.sources) > 1:
            raise click.UsageError(f"Got an unexpected extra argument ({self.sources[1]}).")
        if not self.sources and self.experiment is None:
            raise click.UsageError(
                "Name a checkpoint: its id or the beginning of it, runs:/RUN_ID/NAME or models:/…; "
                f"or a RUN_ID or --experiment NAME with one of {_WAYS}."
            )
        return self.picked()[0] if self.picks else _named(self.sources[0])

    @property
    def picks(self) -> bool:
        """Whether checkpoints are picked from runs or an experiment, not named one by one."""
        return self._ways > 0 or self.everything

    def picked(self) -> list[Checkpoint]:
        """Return the checkpoints that were picked, one for each run that was given.

        Raises:
            TrackerError: There is none.
        """
        from tracker import api

        if self.everything:
            return api.search_checkpoints(experiment=self.experiment, max_results=None)
        places: list[dict[str, Any]] = [{"run_id": _run_of(source)} for source in self.sources]
        return [self._pick(**place) for place in places or [{"experiment": self.experiment}]]

    def _pick(self, **place: Any) -> Checkpoint:
        from tracker import api

        if self.best is not None:
            return api.best_checkpoint(self.best, mode=self.mode, **place)
        return api.get_checkpoint(epoch=self.epoch, step=self.step, **place)

    def named(self) -> list[Checkpoint]:
        """Return the checkpoints that were named or picked.

        Raises:
            UsageError: A run was named, without saying which of its checkpoints.
            TrackerError: There is no such checkpoint.
        """
        return self.picked() if self.picks else list(map(_named, self.sources))


def selects(metavar: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the arguments and options of a selection to a command.

    The command gets them as ``selection=``, a `Selection`.

    Args:
        metavar: How the help calls the argument, for example ``[CHECKPOINT]``.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_selection(**given: Any) -> Any:
            chosen = {f.name: given.pop(f.name) for f in fields(Selection) if f.name in given}
            return command(selection=Selection(**chosen), **given)

        decorated: Command = with_selection
        for option in reversed(_OPTIONS):
            decorated = option(decorated)
        return click.argument("sources", nargs=-1, metavar=metavar)(decorated)

    return decorate


def _run_of(source: str) -> str:
    """Return the id of the run that ``runs:/RUN_ID`` is, or the argument as it is."""
    found = re.fullmatch(r"runs:/([^/]+)/?", source)
    return found[1] if found else source


def _named(source: str) -> Checkpoint:
    from tracker import api
    from tracker.errors import NotFoundError

    try:
        return api.as_checkpoint(source)
    except NotFoundError:
        if _RUN_ID.fullmatch(source) and api.search_checkpoints(
            f"attributes.run_id = '{source}'", max_results=1
        ):
            raise click.UsageError(
                f"{source} is a run; say which of its checkpoints: {_WAYS}."
            ) from None
        raise
