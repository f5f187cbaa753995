"""The SQL index over checkpoints that answers queries; derived from MLflow, always rebuildable.

It lives in MLflow's own database (a SQLite file or PostgreSQL), beside MLflow's tables and without
touching them. ``tables.py`` is the schema, whose history is in the top-level ``migrations``;
``database.py`` opens it, ``writes.py`` and ``upkeep.py`` change it, ``queries.py`` asks it;
``filters.py`` reads MLflow's search syntax and ``conditions.py`` says it in SQL.
"""

from sqlalchemy import Engine

from tracker.catalog.curves import Point, curve_points
from tracker.catalog.database import (
    create_or_upgrade,
    current_revision,
    head_revision,
    open_catalog,
)
from tracker.catalog.filters import fields_asked_for, parse_filter, parse_order
from tracker.catalog.location import catalog_uri, is_mirror, is_server
from tracker.catalog.names import metric_names, text_names
from tracker.catalog.opening import open_for_logging, open_for_reading, open_for_reindexing
from tracker.catalog.overview import ExperimentSummary, experiment_summaries
from tracker.catalog.pareto import pareto
from tracker.catalog.per_run import best_of_each_run, history
from tracker.catalog.queries import (
    at,
    best,
    by_id,
    count,
    epochs,
    experiment_names,
    latest,
    metric_counts,
    run_ids,
    search,
    top,
)
from tracker.catalog.scope import Scope
from tracker.catalog.upkeep import (
    all_ids,
    experiments,
    put_experiments,
    remove_all,
    remove_experiments,
    remove_runs,
    set_state,
    state,
)
from tracker.catalog.wording import did_you_mean, quoted, unstorable
from tracker.catalog.writes import Replaced, put, put_all, remove

__all__ = [
    "Engine",
    "ExperimentSummary",
    "Point",
    "Replaced",
    "Scope",
    "all_ids",
    "at",
    "best",
    "best_of_each_run",
    "by_id",
    "catalog_uri",
    "count",
    "create_or_upgrade",
    "current_revision",
    "curve_points",
    "did_you_mean",
    "epochs",
    "experiment_names",
    "experiment_summaries",
    "experiments",
    "fields_asked_for",
    "head_revision",
    "history",
    "is_mirror",
    "is_server",
    "latest",
    "metric_counts",
    "metric_names",
    "open_catalog",
    "open_for_logging",
    "open_for_reading",
    "open_for_reindexing",
    "pareto",
    "parse_filter",
    "parse_order",
    "put",
    "put_all",
    "put_experiments",
    "quoted",
    "remove",
    "remove_all",
    "remove_experiments",
    "remove_runs",
    "run_ids",
    "search",
    "set_state",
    "state",
    "text_names",
    "top",
    "unstorable",
]
