"""Names that somebody typed, in messages: quoted, shortened, with near ones suggested."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_LONGEST_SHOWN = 120
_LONGEST_COMPARED = 250
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a sentence that suggests up to three near names and ends with a space, or nothing.

    Example:
        >>> did_you_mean("Val_los", ["val_loss", "accuracy"])
        "Did you mean 'val_loss'? "
    """
    if len(name) > _LONGEST_COMPARED:
        return ""
    lowered = {each.lower(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.lower(), lowered, n=3)
    if not near:
        return ""
    return f"Did you mean {' or '.join(quoted(lowered[each]) for each in near)}? "


def quoted(text: str) -> str:
    """Return a text as it is written in a message: quoted, and shortened if it is long."""
    if len(text) <= _LONGEST_SHOWN:
        return repr(text)
    return f"{text[:_LONGEST_SHOWN]!r}… ({len(text):,} characters)"


def unstorable(text: str) -> re.Match[str] | None:
    """Return where in a text the first character is that a database can't hold."""
    return _UNSTORABLE.search(text)
