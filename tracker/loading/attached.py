"""The files that somebody laid beside the model when it was logged."""

from __future__ import annotations

import difflib

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.format import ATTACHED, StoredCheckpoint
from tracker.loading.fetch import fetch
from tracker.types import CheckpointRecord

_GROUP = ATTACHED.removesuffix("/")


def read_attached(record: CheckpointRecord, name: str) -> bytes:
    """Return the content of one file beside the model, compared with its digest.

    Args:
        record: The checkpoint.
        name: The file's name, without ``files/``.

    Raises:
        InvalidArgumentError: The name is no text.
        NotFoundError: There is no such file; lists those that there are. Or they are gone.
        CorruptCheckpointError: Its bytes are not those that were written.
        RecordError: The artifact store can't be reached.
    """
    return read_every_attached(record, [name])[name]


def read_every_attached(
    record: CheckpointRecord, names: list[str] | None = None
) -> dict[str, bytes]:
    """Return the content of the files beside the model, or of some of them, by their names.

    Raises:
        See `read_attached`.
    """
    stored = fetch(record, groups=())
    there = stored.attached()
    wanted = there if names is None else names
    for name in wanted:
        if not isinstance(name, str):
            raise InvalidArgumentError(f"name={name!r}: expected the name of a file, as text.")
        if name not in there:
            raise NotFoundError(_nothing(record, name, there))
    if not wanted:
        return {}

    def check(fetched: StoredCheckpoint) -> None:
        for name in wanted:
            fetched.read_file(ATTACHED + name)

    stored = fetch(record, (_GROUP,), check=check)
    return {name: stored.read_file(ATTACHED + name) for name in wanted}


def _nothing(record: CheckpointRecord, name: str, there: list[str]) -> str:
    near = difflib.get_close_matches(name, there, 3)
    hint = f" Do you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    return (
        f"The checkpoint {record.id} ({record.name}) has no file {name!r} beside its model; "
        f"it has {listed or 'none'}.{hint}"
    )
