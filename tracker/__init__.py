"""Load a PyTorch model without specifying its parameters.

Two lines, one where the model is trained and one where it is needed::

    tracker.log_checkpoint(model, epoch=epoch, metrics={"val_loss": loss}, optimizer=optimizer)

    model = tracker.best_checkpoint("val_loss", experiment="digits").load_model()

Importing this package imports neither torch nor MLflow: names are resolved when first used, and
the observer of module construction waits until torch arrives.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wrapt import when_imported

if TYPE_CHECKING:
    from tracker.api import (
        best_checkpoint,
        best_checkpoints,
        best_of_each_run,
        delete_alias,
        flush,
        get_checkpoint,
        import_checkpoints,
        load_model,
        log_checkpoint,
        pareto_checkpoints,
        promote,
        reconstruct_with,
        register,
        registered_models,
        registered_versions,
        resume,
        resume_latest,
        rollback,
        search_checkpoints,
        set_alias,
        verify_resume,
    )
    from tracker.checkpoint import Checkpoint
    from tracker.errors import TrackerError
    from tracker.integrations.autolog import autolog
    from tracker.loading.checkpoint_diff import CheckpointDiff
    from tracker.loading.report import LoadReport
    from tracker.pending import PendingCheckpoint
    from tracker.registry.version import RegisteredModel, RegisteredVersion
    from tracker.rehearsal.report import ResumeReport
    from tracker.retention import Retention

__version__ = "0.1.0"

_HOMES = {
    "Checkpoint": "tracker.checkpoint",
    "CheckpointDiff": "tracker.loading.checkpoint_diff",
    "LoadReport": "tracker.loading.report",
    "PendingCheckpoint": "tracker.pending",
    "RegisteredModel": "tracker.registry.version",
    "RegisteredVersion": "tracker.registry.version",
    "ResumeReport": "tracker.rehearsal.report",
    "Retention": "tracker.retention",
    "TrackerError": "tracker.errors",
    "autolog": "tracker.integrations.autolog",
    "best_checkpoint": "tracker.api",
    "best_checkpoints": "tracker.api",
    "best_of_each_run": "tracker.api",
    "delete_alias": "tracker.api",
    "flush": "tracker.api",
    "get_checkpoint": "tracker.api",
    "import_checkpoints": "tracker.api",
    "load_model": "tracker.api",
    "log_checkpoint": "tracker.api",
    "pareto_checkpoints": "tracker.api",
    "promote": "tracker.api",
    "reconstruct_with": "tracker.api",
    "register": "tracker.api",
    "registered_models": "tracker.api",
    "registered_versions": "tracker.api",
    "resume": "tracker.api",
    "resume_latest": "tracker.api",
    "rollback": "tracker.api",
    "search_checkpoints": "tracker.api",
    "set_alias": "tracker.api",
    "verify_resume": "tracker.api",
}

__all__ = [
    "Checkpoint",
    "CheckpointDiff",
    "LoadReport",
    "PendingCheckpoint",
    "RegisteredModel",
    "RegisteredVersion",
    "ResumeReport",
    "Retention",
    "TrackerError",
    "__version__",
    "autolog",
    "best_checkpoint",
    "best_checkpoints",
    "best_of_each_run",
    "delete_alias",
    "flush",
    "get_checkpoint",
    "import_checkpoints",
    "load_model",
    "log_checkpoint",
    "pareto_checkpoints",
    "promote",
    "reconstruct_with",
    "register",
    "registered_models",
    "registered_versions",
    "resume",
    "resume_latest",
    "rollback",
    "search_checkpoints",
    "set_alias",
    "verify_resume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@when_imported("torch.nn.modules.module")
def _observe_construction(module: Any) -> None:
    from tracker.architecture.observe import install

    install(module)
