"""Large files of an MLflow server come in parts, several at once; after an interruption the rest.

`ranges.py` knows how to ask for one. Where nobody answers for ranges, the first answer is the whole
file, and comes as such.

::

    <directory>/<file>            as long as the whole from the start, filled part by part
    <directory>/<file>.arrived    which parts are in it, a line each
"""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import CorruptCheckpointError, RecordUnreachableError
from tracker.record.boundary import mlflow_errors
from tracker.record.parallel import Running
from tracker.record.ranges import ways

if TYPE_CHECKING:
    from requests import Response

    from tracker.record.ranges import Ask

PART = 16 << 20
"""Bytes. An interruption costs one part for each of those that were on their way."""

WORTH_PARTS = 2 * PART
"""Smaller files come as they are."""

_BLOCK = 1 << 20


def download_parts(artifact_uri: str, name: str, path: Path, size: int) -> bool | None:
    """Fill a file with the parts of one of an MLflow server's that it does not have yet.

    Args:
        artifact_uri: Where files are, ``mlflow-artifacts:/…``.
        name: The file's name there.
        path: The file here; that of an earlier call, and what is beside it, may be there already.
        size: Its bytes.

    Returns:
        Whether some were there before; None if the server gives no such file by these ways, which
        says nothing about others.

    Raises:
        CorruptCheckpointError: The file is of another size there.
        RecordUnreachableError: The connection broke; what has arrived stays.
        OSError: The disk refused.
    """
    journal = _Journal(path, size)
    missing = journal.missing()
    resumed = len(missing) < journal.count
    if not missing:
        return resumed
    shown = f"downloading {artifact_uri}/{name}"
    ask, answer = _first_answer(artifact_uri, name, _range(journal, missing[0]), shown)
    if ask is None or answer is None:
        return None
    if "Content-Range" not in answer.headers:
        journal.forget()
        with mlflow_errors(shown), contextlib.closing(answer):
            _write(answer, path, 0, size)
        return False
    answers = {missing[0]: answer}

    def bring(part: int) -> None:
        with mlflow_errors(shown):
            given = answers.pop(part, None) or ask(_range(journal, part))
            with contextlib.closing(given):
                _check_range(given, journal, part)
                _write(given, path, part * PART, journal.length(part))
        journal.enter(part)

    Running(bring, missing, "tracker download parts").finish()
    return resumed


def _first_answer(
    artifact_uri: str, name: str, headers: dict[str, str], shown: str
) -> tuple[Ask, Response] | tuple[None, None]:
    """Ask in one way after the other; return the first that gives the file, and what it gave."""
    unreachable = None
    for ask in ways(artifact_uri, name):
        try:
            with mlflow_errors(shown):
                answer = ask(headers)
        except RecordUnreachableError as error:  # an object storage may be out of reach from here
            unreachable = error
            continue
        if answer.status_code in (200, 206):
            return ask, answer
        answer.close()
    if unreachable is not None:
        raise unreachable
    return None, None


class _Journal:
    """Which parts of a file have arrived. Only what is whole is entered."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.count = -(-size // PART)
        self._path = path
        self._file = path.with_name(path.name + ".arrived")
        self._head = f"{size} bytes in parts of {PART}"
        self._entering = threading.Lock()

    def missing(self) -> list[int]:
        """Return the parts that have not arrived, and make room for them."""
        lines = self._file.read_text().splitlines(keepends=True) if self._file.exists() else []
        there = self._path.exists() and self._path.stat().st_size == self.size
        if not there or not lines or lines[0] != f"{self._head}\n":
            with open(self._path, "wb") as file:
                file.truncate(self.size)
            self._file.write_text(f"{self._head}\n")
            return list(range(self.count))
        # The last line may be torn.
        arrived = {line.strip() for line in lines[1:] if line.endswith("\n")}
        return [part for part in range(self.count) if str(part) not in arrived]

    def length(self, part: int) -> int:
        """Return how many bytes a part has."""
        return min(PART, self.size - part * PART)

    def enter(self, part: int) -> None:
        """Note that a part has arrived."""
        with self._entering, open(self._file, "a") as file:
            file.write(f"{part}\n")

    def forget(self) -> None:
        """Take nothing for arrived any more."""
        self._file.unlink(missing_ok=True)


def _range(journal: _Journal, part: int) -> dict[str, str]:
    first = part * PART
    # Compressed on the way, parts would be of other bytes than those that were asked for.
    return {
        "Range": f"bytes={first}-{first + journal.length(part) - 1}",
        "Accept-Encoding": "identity",
    }


def _check_range(answer: Response, journal: _Journal, part: int) -> None:
    given = answer.headers.get("Content-Range", "")
    first = part * PART
    # Not by the status: some object storages send a range with 200.
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", given)
    if found is None or int(found[1]) != first:
        raise RecordUnreachableError(
            f"The store was asked for the bytes from {first} of a file and answered with status "
            f"{answer.status_code} and the range {given!r}."
        )
    if int(found[3]) != journal.size:
        raise CorruptCheckpointError(
            f"The file has {found[3]} bytes in the store, but {journal.size} were written."
        )


def _write(answer: Response, path: Path, start: int, length: int) -> None:
    """Write what is answered into a file, from ``start`` on; it must be so many bytes."""
    written = 0
    with open(path, "r+b") as file:
        file.seek(start)
        for block in answer.iter_content(_BLOCK):
            written += len(block)
            if written <= length:
                file.write(block)
    if written != length:
        raise RecordUnreachableError(
            f"The connection ended after {written} bytes of {length}, or brought too many."
        )
