"""What must not be deleted, whatever a retention says: MLflow is asked, not the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from tracker.record import registrations
from tracker.record.inventory import Holding
from tracker.record.tags import KEEP

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def protected(client: Client, run_id: str, candidates: Collection[Holding]) -> Mapping[str, str]:
    """Return why some of a run's checkpoints must stay, by id.

    Args:
        client: MLflow.
        run_id: The run.
        candidates: Those that would go.

    Raises:
        RecordError: MLflow can't say what is registered: then nothing may be deleted.
    """
    reasons: dict[str, str] = {}
    for holding in candidates:
        if holding.registered_as:
            reasons[holding.id] = "registered"
        elif holding.keep:
            reasons[holding.id] = f"tag {KEEP}"
    asked = [holding.id for holding in candidates if holding.id not in reasons]
    titles = registrations.registered(client, run_id, asked)
    return reasons | {id_: f"registered as {title}" for id_, title in titles.items()}
