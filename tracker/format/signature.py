"""Recognises pickles by their first bytes, so that they are refused and never opened."""

from __future__ import annotations

from tracker.errors import CorruptCheckpointError

_JSON_START = 8
"""Where a safetensors file has the ``{`` of its header."""


def refuse_pickle(head: bytes, where: str, expected: str) -> None:
    """Raise CorruptCheckpointError if a file begins as ``torch.save`` or ``pickle`` begin theirs.

    Args:
        head: Its first bytes, at least 16 if it has so many.
        where: The file, for errors.
        expected: What should be there, for errors.

    Raises:
        CorruptCheckpointError: It is a pickle; it was not opened.
    """
    kind = _pickled(head)
    if kind is not None:
        raise CorruptCheckpointError(
            f"{where}: is {kind}, where {expected} was expected. Pickles can run any code, so "
            "tracker never opens them; put the checkpoint's own file back."
        )


def _pickled(head: bytes) -> str | None:
    # The first bytes of a safetensors file are a length, and may be any.
    if head[_JSON_START : _JSON_START + 1] == b"{":
        return None
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save writes it"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle"
    return None
