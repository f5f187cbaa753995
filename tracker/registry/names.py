"""Which names, aliases, versions and texts the registry takes: checked before anything is done."""

from __future__ import annotations

import numbers
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from tracker.errors import InvalidArgumentError

_MAX_NAME = 240
"""MLflow holds 256 characters, also of the experiment ``registry/NAME``."""

_MAX_ALIAS = 200
"""The alias is a part of the name of a tag, of which MLflow allows 250 characters."""

_MAX_KEY = 250
MAX_TEXT = 5000
"""Characters that MLflow's tables hold of a description."""

_ALIAS = re.compile(r"[\w\-]+")
_KEY = re.compile(r"[/\w.\- :]+")


def check_name(name: object) -> str:
    """Return a registered model's name if MLflow can hold it and ``models:/NAME/1`` leads to it.

    Raises:
        InvalidArgumentError: It can't.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(
            f"name={name!r}: expected the name of a registered model, such as 'digits-cnn'."
        )
    forbidden = next((character for character in name if _is_forbidden(character)), None)
    if forbidden is not None:
        raise InvalidArgumentError(
            f"name={name!r} contains {forbidden!r}, which can't be in the name of a registered "
            "model; use letters, digits, dashes, underscores and periods."
        )
    if name != name.strip() or name == "." or name.startswith(".."):
        raise InvalidArgumentError(f"name={name!r} is no name that MLflow can use in a URI.")
    if len(name) > _MAX_NAME:
        raise InvalidArgumentError(
            f"name={name[:40]!r}… has {len(name)} characters; expected {_MAX_NAME} at most."
        )
    return name


def _is_forbidden(character: str) -> bool:
    # MLflow refuses the first two; the others would be lost from models:/ URIs or searches.
    return character in "/:@?\"'`\\" or not (character.isprintable() or character == " ")


def check_alias(alias: object) -> str:
    """Return an alias if MLflow can hold it.

    Raises:
        InvalidArgumentError: It can't; says why.
    """
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise InvalidArgumentError(
            f"alias={alias!r}: expected letters, digits, dashes and underscores, such as "
            "'champion'."
        )
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidArgumentError(
            f"alias={alias!r} is reserved in MLflow, where it means a version; choose another, "
            "such as 'champion'."
        )
    if len(alias) > _MAX_ALIAS:
        raise InvalidArgumentError(
            f"alias={alias[:40]!r}… has {len(alias)} characters; expected {_MAX_ALIAS} at most."
        )
    return alias


def version_number(version: object) -> int | None:
    """Return the number of a version if that is what ``version`` is, also as text.

    Raises:
        InvalidArgumentError: It is a number, but none of a version.
    """
    if isinstance(version, str) and version.isascii() and version.isdecimal():
        version = int(version)
    if isinstance(version, bool) or not isinstance(version, numbers.Integral):
        return None
    if not 1 <= int(version) < 2**31:
        raise InvalidArgumentError(f"version={version}: versions are numbered from 1.")
    return int(version)


def check_texts(description: object, tags: object) -> tuple[str | None, dict[str, str]]:
    """Return a description and tags that MLflow can hold.

    Raises:
        InvalidArgumentError: One can't be.
    """
    if description is not None and not (isinstance(description, str) and _fits(description)):
        raise InvalidArgumentError(
            f"description={str(description)[:60]!r}: expected text of {MAX_TEXT} characters at "
            "most, without NUL characters and surrogates."
        )
    if not isinstance(tags, Mapping | None):
        raise InvalidArgumentError(f"tags must be a dict of text, not {type(tags).__name__}.")
    return description, {_check_key(k): _check_value(k, v) for k, v in (tags or {}).items()}


def _check_key(key: object) -> str:
    plain = isinstance(key, str) and _KEY.fullmatch(key) and posixpath.normpath(key) == key
    if not isinstance(key, str) or not plain or len(key) > _MAX_KEY or key.startswith(("/", ".")):
        raise InvalidArgumentError(
            f"The tag name {str(key)[:60]!r} can't be held by MLflow: expected letters, digits, "
            f"underscores, dashes, periods, spaces, colons and slashes, {_MAX_KEY} at most."
        )
    if key.startswith(("tracker.", "mlflow.")):
        raise InvalidArgumentError(f"Tag names that start like {key!r} are reserved.")
    return key


def _check_value(key: object, value: Any) -> str:
    text = str(value)
    if not _fits(text):
        raise InvalidArgumentError(
            f"The tag {key!r} is {text[:60]!r}: expected text of {MAX_TEXT} characters at most, "
            "without NUL characters and surrogates."
        )
    return text


def _fits(text: str) -> bool:
    kept = "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
    return kept and len(text) <= MAX_TEXT
