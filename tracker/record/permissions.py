"""What MLflow lets somebody read: asked of MLflow, with that person's own credentials.

MLflow's authentication app leaves out of a search what the user has no READ permission for. So
what the caller's own search finds is what the caller may read, whichever way the permission was
given: by default, to the user or to a role.
"""

from __future__ import annotations

from tracker.errors import NotFoundError
from tracker.record.on_behalf import Caller, ask, pages

_PAGE = 1000


def user_name(caller: Caller) -> str | None:
    """Return the name that MLflow knows the caller by; None: the server knows no users.

    Raises:
        NotAuthenticatedError: MLflow does not know the caller.
        RecordUnreachableError: MLflow can't be asked.
        RecordError: It refused.
    """
    try:
        answer = ask(caller, "users/current")
    except NotFoundError:
        return None
    user = answer.get("user")
    return str(user["username"]) if isinstance(user, dict) and "username" in user else None


def readable_experiments(caller: Caller) -> frozenset[str]:
    """Return the ids of the active experiments that the caller may read.

    Raises:
        NotAuthenticatedError: MLflow does not know the caller.
        RecordUnreachableError: MLflow can't be asked.
        RecordError: It refused.
    """
    return frozenset(
        str(experiment["experiment_id"])
        for page in pages(caller, "experiments/search", {"max_results": _PAGE})
        for experiment in page.get("experiments") or ()
    )
