"""What the list of experiments says of each: its best checkpoint by the metric that says most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracker import catalog
from tracker.catalog import Engine, ExperimentSummary, Scope
from tracker.direction import direction
from tracker.errors import InvalidArgumentError
from tracker.types import CheckpointRecord, Mode

WIDTH, HEIGHT, MARGIN = 120.0, 28.0, 3.0
_MOST_POINTS = 60
_FIRST = ("val", "valid", "validation", "eval", "test")
"""Words of metrics that are measured on data the model was not trained on."""


@dataclass(frozen=True, slots=True)
class Course:
    """A metric's course over a run, small enough to stand in a table.

    Attributes:
        line: The points of an SVG polyline.
        best: Where the best is, or None.
    """

    line: str
    best: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Headline:
    """A row of the list.

    Attributes:
        summary: The experiment.
        metric: The metric that is shown; empty if there is none whose direction is known.
        best: The best checkpoint by it, or None.
        course: The course of the metric in the run of that checkpoint, or None.
    """

    summary: ExperimentSummary
    metric: str
    best: CheckpointRecord | None
    course: Course | None


def headline(engine: Engine, scope: Scope, summary: ExperimentSummary) -> Headline:
    """Return the row of an experiment.

    Args:
        engine: The catalog.
        scope: What may be seen.
        summary: The experiment.
    """
    here = only(scope, summary.id)
    metric, mode = main_metric(catalog.metric_names(engine, here))
    best = catalog.best(engine, here, metric, mode) if mode else None
    if best is None:
        return Headline(summary, metric, None, None)
    points = catalog.curve_points(
        engine, here, metric, [best.run_id], most_per_run=_MOST_POINTS, kept=[best.id]
    )[best.run_id].points
    values = [point.value for point in points]
    at = [point.checkpoint_id for point in points].index(best.id)
    return Headline(summary, metric, best, course(values, at))


def only(scope: Scope, experiment_id: str) -> Scope:
    """Return a scope within one experiment, which holds nothing if that may not be seen."""
    one = frozenset({experiment_id})
    return replace(scope, visible=one if scope.visible is None else scope.visible & one)


def main_metric(names: Sequence[str]) -> tuple[str, Mode | None]:
    """Return the metric that says most about a model, and in which direction it is better.

    That is one of validation data before one of training data, a loss before others; one whose
    direction its name leaves open only if there is no other, without a direction.

    Example:
        >>> main_metric(["accuracy", "train_loss", "val_loss"])
        ('val_loss', 'min')
    """
    ranked = sorted(names, key=lambda name: (inferred_mode(name) is None, *_rank(name)))
    return (ranked[0], inferred_mode(ranked[0])) if ranked else ("", None)


def _rank(name: str) -> tuple[bool, bool, bool, str]:
    words = name.lower().replace("/", "_").replace("-", "_").replace(".", "_").split("_")
    return not set(words) & {*_FIRST}, "train" in words, "loss" not in words, name


def inferred_mode(metric: str) -> Mode | None:
    """Return whether smaller or larger values are better; None if the name leaves it open."""
    try:
        return direction(metric, None)
    except InvalidArgumentError:
        return None


def course(values: Sequence[float], best: int) -> Course | None:
    """Return the course of some values, the best one marked; None of fewer than two numbers.

    Example:
        >>> course([1.0, 0.0], 1)
        Course(line='3.0,3.0 117.0,25.0', best=(117.0, 25.0))
    """
    numbers = [value for value in values if math.isfinite(value)]
    if len(numbers) < 2:
        return None
    low, high = min(numbers), max(numbers)
    # Halves: of the largest numbers there are, the difference is none.
    span = high / 2 - low / 2 or 1.0
    places = {
        index: (
            round(MARGIN + (WIDTH - 2 * MARGIN) * index / (len(values) - 1), 1),
            round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * ((value / 2 - low / 2) / span), 1),
        )
        for index, value in enumerate(values)
        if math.isfinite(value)
    }
    return Course(" ".join(f"{x},{y}" for x, y in places.values()), places.get(best))
