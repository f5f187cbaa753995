"""Reading untrusted JSON field by field, so that every refusal names the field's path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tracker.errors import FormatError
from tracker.format.digests import is_digest
from tracker.types import Json

T = TypeVar("T")

MAX_DIMENSIONS = 64
"""Of a tensor; the container adds one where it holds pairs."""


class Field:
    """A value somewhere in a JSON file, of which nothing is known yet.

    Attributes:
        value: The value.
        where: The file.

    Example:
        >>> Field({"epoch": 6}, "checkpoint.json").at("epoch").integer()
        6
    """

    # A checkpoint has tens of thousands of fields: paths are put together only for errors.
    __slots__ = ("_key", "_parent", "value", "where")

    def __init__(
        self, value: Json, where: str, parent: Field | None = None, key: str | int = ""
    ) -> None:
        self.value = value
        self.where = where
        self._parent = parent
        self._key = key

    @property
    def path(self) -> str:
        """The keys that lead to the value, joined by dots."""
        if self._parent is None:
            return ""
        above = self._parent.path
        return f"{above}.{self._key}" if above else str(self._key)

    def at(self, key: str) -> Field:
        """Return the member ``key`` of an object; it must be there."""
        members = self._object()
        if key not in members:
            raise FormatError(f"{self.where}: {Field(None, '', self, key).path} is missing.")
        return Field(members[key], self.where, self, key)

    def get(self, key: str) -> Field:
        """Return the member ``key`` of an object, or a null where there is none."""
        return Field(self._object().get(key), self.where, self, key)

    def members(self) -> Iterator[tuple[str, Field]]:
        """Yield every key of an object with its field."""
        for key, value in self._object().items():
            yield key, Field(value, self.where, self, key)

    def items(self) -> list[Field]:
        """Return the fields of a list."""
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        return [Field(value, self.where, self, i) for i, value in enumerate(self.value)]

    def optional(self, read: Callable[[Field], T]) -> T | None:
        """Return None for null, else what ``read`` makes of the field."""
        return None if self.value is None else read(self)

    def text(self) -> str:
        """Return the value, which must be text."""
        if not isinstance(self.value, str):
            raise self.refuse("text")
        return self.value

    def flag(self) -> bool:
        """Return the value, which must be true or false."""
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def integer(self) -> int:
        """Return the value, which must be a whole number."""
        if type(self.value) is not int:
            raise self.refuse("a whole number")
        return self.value

    def size(self) -> int:
        """Return the value, which must be a whole number from 0 to 2^63 - 1."""
        number = self.integer()
        if not 0 <= number < 1 << 63:
            raise self.refuse("a whole number from 0 to 2^63 - 1")
        return number

    def shape(self) -> tuple[int, ...]:
        """Return the value, which must be the list of a tensor's lengths."""
        lengths = self.items()
        # More would make the product of the lengths a number of unlimited size.
        if len(lengths) > MAX_DIMENSIONS + 1:
            raise self.refuse(f"a list of at most {MAX_DIMENSIONS} lengths")
        return tuple(length.size() for length in lengths)

    def digest(self) -> str:
        """Return the value, which must be a digest as text."""
        if not is_digest(self.text()):
            raise self.refuse("64 lowercase hex digits")
        return self.text()

    def texts(self) -> dict[str, str]:
        """Return the value, which must be an object whose values are all text."""
        return {key: field.text() for key, field in self.members()}

    def refuse(self, expected: str) -> FormatError:
        """Return the error of a field that is not what it must be."""
        name = self.path or "the file"
        return FormatError(f"{self.where}: {name} must be {expected}, not {self._shown()}.")

    def _shown(self) -> str:
        if isinstance(self.value, dict):
            return "an object"
        if isinstance(self.value, list):
            return f"a list of {len(self.value)}"
        text = repr(self.value)
        return text if len(text) <= 60 else text[:57] + "..."

    def _object(self) -> dict[str, Json]:
        if not isinstance(self.value, dict):
            raise self.refuse("an object")
        return self.value
