"""The public functions, one for each use. They check arguments and call the rooms below.

A name is resolved when it is first used: who loads a model need not import what saves one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.api.finding import (
        as_checkpoint,
        best_checkpoint,
        best_checkpoints,
        best_of_each_run,
        get_checkpoint,
        metric_history,
        pareto_checkpoints,
        search_checkpoints,
    )
    from tracker.api.importing import import_checkpoints, make_model, read_example
    from tracker.api.loading import (
        check_checkpoints,
        explain_if_at_hand,
        fetch_checkpoint,
        load_model,
        verify_checkpoints,
    )
    from tracker.api.registry import (
        delete_alias,
        promote,
        register,
        registered_models,
        registered_versions,
        rollback,
        set_alias,
    )
    from tracker.api.resuming import resume, resume_latest, verify_resume
    from tracker.api.saving import (
        flush,
        log_checkpoint,
        reconstruct_with,
        sync,
    )
    from tracker.api.upkeep import (
        collect,
        diagnose,
        plan_collection,
        plan_pruning,
        prune,
        reindex,
        update_mirror,
        upgrade_database,
    )

_HOMES = {
    "as_checkpoint": "tracker.api.finding",
    "best_checkpoint": "tracker.api.finding",
    "best_checkpoints": "tracker.api.finding",
    "best_of_each_run": "tracker.api.finding",
    "check_checkpoints": "tracker.api.loading",
    "collect": "tracker.api.upkeep",
    "delete_alias": "tracker.api.registry",
    "diagnose": "tracker.api.upkeep",
    "explain_if_at_hand": "tracker.api.loading",
    "fetch_checkpoint": "tracker.api.loading",
    "flush": "tracker.api.saving",
    "get_checkpoint": "tracker.api.finding",
    "import_checkpoints": "tracker.api.importing",
    "load_model": "tracker.api.loading",
    "log_checkpoint": "tracker.api.saving",
    "make_model": "tracker.api.importing",
    "metric_history": "tracker.api.finding",
    "pareto_checkpoints": "tracker.api.finding",
    "plan_collection": "tracker.api.upkeep",
    "plan_pruning": "tracker.api.upkeep",
    "promote": "tracker.api.registry",
    "prune": "tracker.api.upkeep",
    "read_example": "tracker.api.importing",
    "reconstruct_with": "tracker.api.saving",
    "register": "tracker.api.registry",
    "registered_models": "tracker.api.registry",
    "registered_versions": "tracker.api.registry",
    "reindex": "tracker.api.upkeep",
    "resume": "tracker.api.resuming",
    "resume_latest": "tracker.api.resuming",
    "rollback": "tracker.api.registry",
    "search_checkpoints": "tracker.api.finding",
    "set_alias": "tracker.api.registry",
    "sync": "tracker.api.saving",
    "update_mirror": "tracker.api.upkeep",
    "upgrade_database": "tracker.api.upkeep",
    "verify_checkpoints": "tracker.api.loading",
    "verify_resume": "tracker.api.resuming",
}

__all__ = [
    "as_checkpoint",
    "best_checkpoint",
    "best_checkpoints",
    "best_of_each_run",
    "check_checkpoints",
    "collect",
    "delete_alias",
    "diagnose",
    "explain_if_at_hand",
    "fetch_checkpoint",
    "flush",
    "get_checkpoint",
    "import_checkpoints",
    "load_model",
    "log_checkpoint",
    "make_model",
    "metric_history",
    "pareto_checkpoints",
    "plan_collection",
    "plan_pruning",
    "promote",
    "prune",
    "read_example",
    "reconstruct_with",
    "register",
    "registered_models",
    "registered_versions",
    "reindex",
    "resume",
    "resume_latest",
    "rollback",
    "search_checkpoints",
    "set_alias",
    "sync",
    "update_mirror",
    "upgrade_database",
    "verify_checkpoints",
    "verify_resume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker.api' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
