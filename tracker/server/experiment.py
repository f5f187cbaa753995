"""The page of one experiment: what was asked for, and what is shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from tracker import catalog
from tracker.catalog import Engine, ExperimentSummary, Scope
from tracker.errors import FilterSyntaxError, InvalidArgumentError
from tracker.loading import find
from tracker.server.curves import COLOURS, Chart, drawing, make_chart
from tracker.server.headline import inferred_mode, main_metric
from tracker.server.wording import literal
from tracker.types import CheckpointRecord, Mode

ROWS = 50
_MORE_METRICS = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form asks for; texts as they came, which are shown again as they came.

    Attributes:
        metric: The metric of the curves; empty: the one that says most.
        mode: ``min``, ``max``, or empty: as the metric's name has it.
        filter: Which checkpoints.
        order: The order of the table, as ``order_by`` has it; empty: the newest first.
        scale: ``linear`` or ``log``; empty: by the values.
        offset: How many rows to skip.
    """

    metric: str = ""
    mode: str = ""
    filter: str = ""
    order: str = ""
    scale: str = ""
    offset: int = 0

    def link(self, **changes: Any) -> str:
        """Return the address of the same page with other answers in its form."""
        asked = replace(self, **{"offset": 0, **changes})
        given = ((name, getattr(asked, name)) for name in self.__slots__)
        return f"?{urlencode([(name, value) for name, value in given if value])}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        title: What stands above it.
        link: The address of the page that is sorted by it; empty: it can't be sorted by.
        sorted: ``ascending`` or ``descending``, if the table is sorted by it.
        number: Whether it holds numbers.
        wide: Whether it is left out where the window is narrow.
    """

    title: str
    link: str = ""
    sorted: str = ""
    number: bool = False
    wide: bool = False


def experiment_page(
    engine: Engine, scope: Scope, summary: ExperimentSummary, asked: Asked
) -> dict[str, Any]:
    """Return what the template of the page shows.

    Args:
        engine: The catalog.
        scope: The experiment, as far as it may be seen, without a filter.
        summary: The experiment.
        asked: What the form asks for.

    Raises:
        CatalogError: The database can't be reached.
    """
    metrics = catalog.metric_names(engine, scope)
    metric_error = _unknown_metric(asked.metric, metrics)
    if metric_error:
        asked = replace(asked, metric="")
    metric = asked.metric or main_metric(metrics)[0]
    error = _error_of(lambda: catalog.parse_filter(asked.filter))
    filtered = scope if error else replace(scope, filter_string=asked.filter)
    chart = make_chart(engine, filtered, metric, _mode(asked.mode, metric))
    return {
        "summary": summary,
        "name": summary.name,
        "metrics": metrics,
        "metric": metric,
        "metric_error": metric_error,
        "inferred": inferred_mode(metric),
        "asked_mode": asked.mode,
        "filter": asked.filter,
        "order": asked.order,
        "scale": asked.scale,
        "error": error,
        "chart": chart,
        "drawing": drawing(chart),
        "colours": COLOURS,
        "swatches": swatches(chart),
        "best_lines": _best_lines(summary.name, metric, asked, error) if chart.best else "",
        "run_link": lambda run_id: run_link(asked, run_id),
        **_table(engine, filtered, summary, asked, metric),
    }


def _table(
    engine: Engine, scope: Scope, summary: ExperimentSummary, asked: Asked, metric: str
) -> dict[str, Any]:
    """Return what is shown of the checkpoints that match, a page of them."""
    order_error = _error_of(lambda: asked.order and catalog.parse_order(asked.order))
    order = [] if order_error or not asked.order else [asked.order]
    records, suggestion = find.search_with_note(
        engine, scope, order_by=order, max_results=ROWS, offset=asked.offset
    )
    has_filter = bool(scope.filter_string.strip())
    matching = catalog.count(engine, scope) if has_filter else summary.checkpoints
    shown_metrics = _shown_metrics(metric, records)
    return {
        "order_error": order_error,
        "records": records,
        "nothing": not records,
        "suggestion": suggestion.removeprefix("Nothing was found. "),
        "matching": matching,
        "shown_metrics": shown_metrics,
        "columns": columns(asked, shown_metrics),
        **page_links(asked, len(records), matching),
    }


def _mode(given: str, metric: str) -> Mode | None:
    if given == "min":
        return "min"
    return "max" if given == "max" else inferred_mode(metric)


def _unknown_metric(asked: str, metrics: Sequence[str]) -> str:
    if not asked or asked in metrics:
        return ""
    near = catalog.did_you_mean(asked, metrics)
    return f"No checkpoint of this experiment has the metric {catalog.quoted(asked)}. {near}"


def _error_of(read: Any) -> str:
    try:
        read()
    except (FilterSyntaxError, InvalidArgumentError) as error:
        return str(error)
    return ""


def _shown_metrics(metric: str, records: Sequence[CheckpointRecord]) -> list[str]:
    """Return the metrics of the table's columns: the chosen one, and some that the rows have."""
    others = sorted({name for record in records for name in record.metrics} - {metric})
    return [*([metric] if metric else []), *others[:_MORE_METRICS]]


def swatches(chart: Chart) -> dict[str, str]:
    """Return the class of the colour that the curve of each run has."""
    return {
        curve.run_id: f"s{index}" if index < COLOURS else "rest"
        for index, curve in enumerate(chart.curves)
    }


def columns(asked: Asked, metrics: Sequence[str]) -> list[Column]:
    """Return the columns of the table, each with the address that sorts by it."""
    sorted_by, _, towards = asked.order.rpartition(" ")

    def column(title: str, field: str, *, descending: bool = False, **more: bool) -> Column:
        at_first, then = ("DESC", "ASC") if descending else ("ASC", "DESC")
        is_sorted = sorted_by == field
        towards_next = then if is_sorted and towards == at_first else at_first
        direction = {"ASC": "ascending", "DESC": "descending"}.get(towards, "") if is_sorted else ""
        return Column(title, asked.link(order=f"{field} {towards_next}"), direction, **more)

    newest = column("Logged", "attributes.created_at", descending=True)
    if not asked.order:
        oldest_first = asked.link(order="attributes.created_at ASC")
        newest = replace(newest, sorted="descending", link=oldest_first)
    return [
        column("Checkpoint", "attributes.name"),
        column("Run", "attributes.run_id"),
        column("Epoch", "attributes.epoch", descending=True, number=True),
        *(
            column(name, metric_field(name), descending=inferred_mode(name) == "max", number=True)
            for name in metrics
        ),
        Column("Model", wide=True),
        newest,
    ]


def metric_field(name: str) -> str:
    """Return a metric as a filter names it, whatever characters it holds.

    Example:
        >>> metric_field("val_loss"), metric_field("top 1")
        ('metrics.val_loss', 'metrics.`top 1`')
    """
    plain = name.replace("_", "").isalnum() and name.isascii()
    return f"metrics.{name}" if plain else f"metrics.`{name.replace('`', '``')}`"


def run_link(asked: Asked, run_id: str) -> str:
    """Return the address that shows one run alone."""
    literal = run_id.replace("'", "''")
    return asked.link(filter=f"run_id = '{literal}'")


def page_links(asked: Asked, shown: int, total: int) -> dict[str, str]:
    """Return the addresses of the pages before and after, empty where there is none."""
    first, last = asked.offset + 1, asked.offset + shown
    return {
        "earlier": asked.link(offset=max(0, asked.offset - ROWS)) if asked.offset else "",
        "later": asked.link(offset=last) if last < total and shown else "",
        "first_page": asked.link(),
        "place": f"{first:,} to {last:,} of {total:,}" if shown else "",
    }


def _best_lines(experiment: str, metric: str, asked: Asked, error: str) -> str:
    arguments = [literal(metric), f"experiment={literal(experiment)}"]
    if inferred_mode(metric) is None or asked.mode not in ("", inferred_mode(metric)):
        arguments.append(f"mode={literal(asked.mode)}")
    if asked.filter.strip() and not error:
        arguments.append(f"filter_string={literal(asked.filter)}")
    return f"import tracker\nmodel = tracker.best_checkpoint({', '.join(arguments)}).load_model()"
