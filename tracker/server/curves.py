"""The curves of an experiment: which runs are drawn, where their checkpoints lie on the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from tracker import catalog
from tracker.catalog import Engine, Point, Scope
from tracker.server.wording import one_line
from tracker.types import CheckpointRecord, Json, Mode

MOST_RUNS = 24
MOST_POINTS = 6_000
COLOURS = 8
"""The first runs have a colour of their own; nobody tells more apart."""

_MAGNITUDES = 20.0
_LARGEST_DRAWN = 1e300

Axis = Literal["epoch", "step", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One run's curve.

    Attributes:
        run_id: The run.
        best: Its best checkpoint; None where no direction is known.
        points: Its checkpoints in order.
        positions: Where they lie on the horizontal axis, one for each, ascending.
    """

    run_id: str
    best: CheckpointRecord | None
    points: tuple[Point, ...]
    positions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    Attributes:
        metric: The metric on the vertical axis.
        axis: What the horizontal axis counts.
        curves: The curves, the best run first.
        runs: How many runs there are, drawn or not.
        thinned: Whether not every checkpoint of the runs has a dot.
        gaps: How many checkpoints have a value that can't be drawn: NaN, or an infinity.
    """

    metric: str
    axis: Axis
    curves: tuple[Curve, ...]
    runs: int
    thinned: bool
    gaps: int

    @property
    def best(self) -> CheckpointRecord | None:
        """The best checkpoint of all."""
        return self.curves[0].best if self.curves else None

    @property
    def dots(self) -> int:
        """How many checkpoints are drawn."""
        return sum(len(curve.points) for curve in self.curves) - self.gaps

    def is_logarithmic(self, asked: str) -> bool:
        """Return whether the vertical axis is: if asked for, or if values differ by magnitudes.

        Args:
            asked: ``linear``, ``log`` or empty. With a value of zero or less there is no such axis.
        """
        values = [p.value for curve in self.curves for p in curve.points if math.isfinite(p.value)]
        if asked == "linear" or not values or min(values) <= 0:
            return False
        return asked == "log" or max(values) / min(values) >= _MAGNITUDES


def make_chart(engine: Engine, scope: Scope, metric: str, mode: Mode | None) -> Chart:
    """Ask the catalog for the curves of the best runs; of the newest where no direction is known.

    Raises:
        FilterSyntaxError: The scope's filter does not parse.
        CatalogError: The database can't be reached.
    """
    if mode is None:
        best: dict[str, CheckpointRecord] = {}
        run_ids = catalog.run_ids(engine, scope, MOST_RUNS)
        runs = catalog.count_runs(engine, scope) if len(run_ids) == MOST_RUNS else len(run_ids)
    else:
        found = catalog.best_of_each_run(engine, scope, metric, mode, limit=None)
        best = {record.run_id: record for record in found[:MOST_RUNS]}
        run_ids, runs = list(best), len(found)
    most = MOST_POINTS // max(1, len(run_ids))
    kept = [record.id for record in best.values()]
    found_points = catalog.curve_points(
        engine, scope, metric, run_ids, most_per_run=most, kept=kept
    )
    by_run = {run: of_run.points for run, of_run in found_points.items()}
    axis = choose_axis(list(by_run.values()))
    curves = tuple(
        Curve(run, best.get(run), by_run[run], positions(by_run[run], axis))
        for run in run_ids
        if run in by_run
    )
    gaps = sum(_drawn(each.value) is None for points in by_run.values() for each in points)
    thinned = any(len(of_run.points) < of_run.total for of_run in found_points.values())
    return Chart(metric, axis, curves, runs, thinned, gaps)


def choose_axis(runs: Sequence[Sequence[Point]]) -> Axis:
    """Return what all checkpoints of some runs can be placed by: epochs, else steps, else order.

    Example:
        >>> choose_axis([])
        'epoch'
    """
    points = [point for run in runs for point in run]
    if all(point.epoch is not None for point in points):
        return "epoch"
    return "step" if all(point.step is not None for point in points) else "checkpoint"


def positions(points: Sequence[Point], axis: Axis) -> tuple[float, ...]:
    """Return where the checkpoints of one run lie on an axis.

    Several of one epoch or step lie side by side before the next whole number, so that none hides
    another.
    """
    if axis == "checkpoint":
        return tuple(float(index) for index in range(1, len(points) + 1))
    numbers = [point.epoch if axis == "epoch" else point.step for point in points]
    ordered = sorted(float(each) for each in numbers if each is not None)
    placed: list[float] = []
    for value, same in groupby(ordered):
        count = len(list(same))
        placed += [value + index / count for index in range(count)]
    return tuple(placed)


def drawing(chart: Chart) -> Json:
    """Return a chart as the JSON from which the page's script draws it."""
    return {
        "metric": chart.metric,
        "axis": chart.axis,
        "best": chart.best.id if chart.best else None,
        "curves": [
            {
                "run": curve.run_id,
                "model": one_line(curve.best.model_text, 120) if curve.best else "",
                "x": [_drawn(position) for position in curve.positions],
                "y": [_drawn(point.value) for point in curve.points],
                "id": [point.checkpoint_id for point in curve.points],
                "name": [point.name for point in curve.points],
            }
            for curve in chart.curves
        ],
    }


def _drawn(value: float) -> float | int | None:
    """Return a number without digits that no screen shows; None if it can't be drawn."""
    if not abs(value) <= _LARGEST_DRAWN:  # NaN is not
        return None
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
