"""Notices that an MLflow run ends: ``mlflow.end_run()``, or ``with mlflow.start_run()`` leaving.

MLflow offers no hook for it. Both call ``end_run``, under the two names that are replaced here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlflow
import mlflow.tracking.fluent
import wrapt

OnRun = Callable[[str], None]


def watch(before: OnRun, after: OnRun) -> None:
    """Call ``before`` and ``after`` with the id of a run that is ended in any thread.

    Call it once a process.
    """

    def end_run(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        active = mlflow.active_run()
        if active is None:
            return wrapped(*args, **kwargs)
        before(active.info.run_id)
        result = wrapped(*args, **kwargs)
        after(active.info.run_id)
        return result

    # A `with` that was entered before calls MLflow's own method, which finds the second name.
    for module in (mlflow, mlflow.tracking.fluent):
        wrapt.wrap_function_wrapper(module, "end_run", end_run)
