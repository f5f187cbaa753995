"""The public functions, one for each use. They check arguments and call the rooms below."""

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
from tracker.api.loading import (
    check_checkpoints,
    explain_if_at_hand,
    fetch_checkpoint,
    load_model,
    resume,
    verify_checkpoints,
)
from tracker.api.saving import (
    flush,
    log_checkpoint,
    reconstruct_with,
    sync,
)
from tracker.api.upkeep import (
    diagnose,
    reindex,
    update_mirror,
    upgrade_database,
)

__all__ = [
    "as_checkpoint",
    "best_checkpoint",
    "best_checkpoints",
    "best_of_each_run",
    "check_checkpoints",
    "diagnose",
    "explain_if_at_hand",
    "fetch_checkpoint",
    "flush",
    "get_checkpoint",
    "load_model",
    "log_checkpoint",
    "metric_history",
    "pareto_checkpoints",
    "reconstruct_with",
    "reindex",
    "resume",
    "search_checkpoints",
    "sync",
    "update_mirror",
    "upgrade_database",
    "verify_checkpoints",
]
