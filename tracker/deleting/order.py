"""The order in which a checkpoint is deleted: catalog row → MLflow → manifest → bytes.

The catalog comes first, so that no query finds what is half gone; if the process dies then, MLflow
has the whole checkpoint still, and `tracker reindex` or the next retention finds it. From the tag
on that takes it out of MLflow, nobody begins to refer to it; from its deletion there on, `tracker
collect` knows that its files are to go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from tracker.catalog.writes import put, remove
from tracker.deleting.release import release
from tracker.errors import NotFoundError, RecordError, RecordUnreachableError
from tracker.record import retention
from tracker.record.inventory import Holding
from tracker.record.removal import announce, remove_files

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client

Left: TypeAlias = Literal["nothing", "needed files", "files"]
"""What is left of a checkpoint that was deleted: ``needed files``: those that others need;
``files``: all, because the store does not let them be deleted."""


def delete(client: Client, engine: Engine, holding: Holding, *, by: str) -> tuple[Left, str]:
    """Delete a checkpoint; again, by several at once, or after a death in the middle is right, too.

    Args:
        client: MLflow.
        engine: The catalog.
        holding: The checkpoint.
        by: The id of the newest one of its model.

    Returns:
        What is left of it, and why.

    Raises:
        CatalogError: The catalog could not be used; nothing was deleted.
        RecordError: MLflow refused or could not be reached.
        StorageError: The disk refused to remove the files; `tracker collect` tries again.
    """
    remove(engine, holding.id)
    announce("uncatalogued", holding.id)
    try:
        is_kept = retention.retire(client, holding.id, holding.experiment_id, replaced_by=by)
    except NotFoundError:
        is_kept = False  # another process deletes it, too
    except RecordUnreachableError:
        raise
    except RecordError:
        if _is_restored(client, engine, holding):
            raise
        is_kept = False
    announce("retired", holding.id)
    if is_kept:
        release(client, holding)
        return "needed files", "later checkpoints need them"
    return clear(client, holding)


def _is_restored(client: Client, engine: Engine, holding: Holding) -> bool:
    """Let one be a checkpoint again that MLflow did not let us delete; False if others have."""
    try:
        retention.restore(client, holding.id)
    except NotFoundError:
        return False
    if holding.record is not None:
        put(engine, holding.record)
    return True


def clear(client: Client, holding: Holding) -> tuple[Left, str]:
    """Remove the files of one that is deleted in MLflow.

    Returns:
        What is left, and why.

    Raises:
        StorageError: The disk refused.
        RecordUnreachableError: The artifact store could not be reached.
    """
    try:
        remove_files(client, holding.id, holding.artifact_uri)
    except RecordUnreachableError:
        raise
    except RecordError as error:
        return "files", str(error)
    return "nothing", ""
