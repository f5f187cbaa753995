"""The SQL index over checkpoints that answers queries; derived from MLflow, always rebuildable.

It lives in MLflow's own database (a SQLite file or PostgreSQL), beside MLflow's tables and without
touching them. ``tables.py`` is the schema, whose history is in the top-level ``migrations``;
``database.py`` opens it, ``writes.py`` and ``upkeep.py`` change it, ``queries.py`` asks it;
``filters.py`` reads MLflow's search syntax and ``conditions.py`` says it in SQL.

Names are resolved when they are first used: `direct` answers the question that most models are
loaded with before SQLAlchemy is imported, which takes longer than all the rest of loading.
`tracker.saving` imports from the modules themselves: its thread must import nothing, or a fork in
that moment leaves the child with half a module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tracker.catalog.curves import Point, curve_points
    from tracker.catalog.database import (
        create_or_upgrade,
        current_revision,
        open_catalog,
    )
    from tracker.catalog.filters import fields_asked_for, parse_filter, parse_order
    from tracker.catalog.location import catalog_uri, is_mirror, is_server
    from tracker.catalog.names import metric_names, text_names
    from tracker.catalog.opening import (
        open_for_logging,
        open_for_reading,
        open_for_reindexing,
        open_for_removing,
    )
    from tracker.catalog.overview import ExperimentSummary, count_runs, experiment_summaries
    from tracker.catalog.pareto_front import pareto
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
    from tracker.catalog.revisions import head_revision
    from tracker.catalog.scope import Scope
    from tracker.catalog.totals import Statistics, statistics
    from tracker.catalog.upkeep import (
        all_ids,
        experiments,
        put_experiments,
        remove_all,
        remove_experiments,
        remove_of_run,
        remove_runs,
        set_state,
        state,
    )
    from tracker.catalog.wording import did_you_mean, quoted, unstorable
    from tracker.catalog.writes import Replaced, put, put_all, remove

_HOMES = {
    "Engine": "sqlalchemy",
    "ExperimentSummary": "tracker.catalog.overview",
    "Point": "tracker.catalog.curves",
    "Replaced": "tracker.catalog.writes",
    "Scope": "tracker.catalog.scope",
    "Statistics": "tracker.catalog.totals",
    "all_ids": "tracker.catalog.upkeep",
    "at": "tracker.catalog.queries",
    "best": "tracker.catalog.queries",
    "best_of_each_run": "tracker.catalog.per_run",
    "by_id": "tracker.catalog.queries",
    "catalog_uri": "tracker.catalog.location",
    "count": "tracker.catalog.queries",
    "count_runs": "tracker.catalog.overview",
    "create_or_upgrade": "tracker.catalog.database",
    "current_revision": "tracker.catalog.database",
    "curve_points": "tracker.catalog.curves",
    "did_you_mean": "tracker.catalog.wording",
    "epochs": "tracker.catalog.queries",
    "experiment_names": "tracker.catalog.queries",
    "experiment_summaries": "tracker.catalog.overview",
    "experiments": "tracker.catalog.upkeep",
    "fields_asked_for": "tracker.catalog.filters",
    "head_revision": "tracker.catalog.revisions",
    "history": "tracker.catalog.per_run",
    "is_mirror": "tracker.catalog.location",
    "is_server": "tracker.catalog.location",
    "latest": "tracker.catalog.queries",
    "metric_counts": "tracker.catalog.queries",
    "metric_names": "tracker.catalog.names",
    "open_catalog": "tracker.catalog.database",
    "open_for_logging": "tracker.catalog.opening",
    "open_for_reading": "tracker.catalog.opening",
    "open_for_reindexing": "tracker.catalog.opening",
    "open_for_removing": "tracker.catalog.opening",
    "pareto": "tracker.catalog.pareto_front",
    "parse_filter": "tracker.catalog.filters",
    "parse_order": "tracker.catalog.filters",
    "put": "tracker.catalog.writes",
    "put_all": "tracker.catalog.writes",
    "put_experiments": "tracker.catalog.upkeep",
    "quoted": "tracker.catalog.wording",
    "remove": "tracker.catalog.writes",
    "remove_all": "tracker.catalog.upkeep",
    "remove_experiments": "tracker.catalog.upkeep",
    "remove_of_run": "tracker.catalog.upkeep",
    "remove_runs": "tracker.catalog.upkeep",
    "run_ids": "tracker.catalog.queries",
    "search": "tracker.catalog.queries",
    "set_state": "tracker.catalog.upkeep",
    "state": "tracker.catalog.upkeep",
    "statistics": "tracker.catalog.totals",
    "text_names": "tracker.catalog.names",
    "top": "tracker.catalog.queries",
    "unstorable": "tracker.catalog.wording",
}

__all__ = [
    "Engine",
    "ExperimentSummary",
    "Point",
    "Replaced",
    "Scope",
    "Statistics",
    "all_ids",
    "at",
    "best",
    "best_of_each_run",
    "by_id",
    "catalog_uri",
    "count",
    "count_runs",
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
    "open_for_removing",
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
    "remove_of_run",
    "remove_runs",
    "run_ids",
    "search",
    "set_state",
    "state",
    "statistics",
    "text_names",
    "top",
    "unstorable",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker.catalog' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
