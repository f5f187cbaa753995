"""A checkpoint whose files are not there: is it gone from MLflow, too?

A mirror learns of logged models that were deleted by hand by `tracker reindex` alone, so it may
still name one; so may a tracker service, which makes its catalog again every few minutes. Who holds
a `Checkpoint` may find that a retention has let it go since.
"""

from __future__ import annotations

from tracker import catalog, settings
from tracker.errors import NotFoundError, TrackerError
from tracker.service import location
from tracker.types import CheckpointRecord


def forgotten(record: CheckpointRecord) -> NotFoundError | None:
    """Take a checkpoint out of the catalog in force if MLflow has it no more.

    Returns:
        What to tell about it, or None if MLflow still has the checkpoint, or can't be asked.
    """
    uri = settings.tracking_uri()
    service = location.in_force(uri)
    from tracker.record import logged_models

    try:
        if logged_models.is_there(record.id):
            return None
        if service is None:
            catalog.remove(catalog.open_for_reading(uri), record.id)
    except TrackerError:
        return None  # that its files are missing is the error to tell
    what = f"Checkpoint {record.id} ({record.experiment}, {record.name}) was deleted in MLflow."
    if service is not None:
        return NotFoundError(
            f"{what} The tracker service {settings.display_uri(service.url)} named it still; every "
            "few minutes it compares everything with MLflow."
        )
    if not catalog.is_mirror(uri):
        return NotFoundError(f"{what} A retention may have let it go: ask again for what there is.")
    return NotFoundError(
        f"{what} The local mirror named it still, and has now forgotten it: ask again for what "
        "there is, or run `tracker reindex` to compare everything."
    )
