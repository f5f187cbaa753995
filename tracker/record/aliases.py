"""Aliases of registered models, and which versions had one before.

MLflow moves an alias in one request and remembers nothing. So whoever moves one first writes into
a tag of the registered model which version has it, and then moves it. A death in between leaves on
top of that history the version that still has the alias, which tells that nothing was moved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.tags import PREFIX
from tracker.record.versions import Model

HISTORY = PREFIX + "previous."
"""The beginning of the tags that say which versions had an alias before."""

_MOST = 100
"""MLflow's tables hold 5,000 characters of a tag of a registered model."""


@dataclass(frozen=True, slots=True)
class Held:
    """A version that had an alias.

    Attributes:
        version: The version.
        until: When the alias was taken from it, in milliseconds since 1970-01-01 UTC.
    """

    version: int
    until: int


def history(model: Model, alias: str) -> list[Held]:
    """Return which versions had an alias before the one that has it, the last one at the end."""
    try:
        found = json.loads(model.tags.get(HISTORY + alias, "[]"))
        held = [Held(int(each["version"]), int(each["until"])) for each in found]
    except (ValueError, TypeError, KeyError):
        return []  # somebody has edited the tag; whoever has the alias now is not in it
    while held and held[-1].version == model.aliases.get(alias):
        held.pop()  # who noted it died before the alias was moved
    return held


def write_history(client: MlflowClient, name: str, alias: str, held: Sequence[Held]) -> None:
    """Note which versions had an alias before.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    entries = [{"version": each.version, "until": each.until} for each in held[-_MOST:]]
    text = json.dumps(entries, separators=(",", ":"))
    with mlflow_errors(f"noting who had the alias {alias!r} of {name!r}"):
        _set(lambda: client.set_registered_model_tag(name, HISTORY + alias, text))


def move(client: MlflowClient, name: str, alias: str, version: int) -> None:
    """Give an alias to a version, in one step.

    Raises:
        NotFoundError: There is no such version.
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"giving the alias {alias!r} to version {version} of {name!r}"):
        _set(lambda: client.set_registered_model_alias(name, alias, str(version)))


def _set(write: Callable[[], None]) -> None:
    """Write what others may write for the first time at this moment."""
    try:
        write()
    except MlflowException as error:
        # MLflow looks first and inserts then; of two who insert, the database refuses one.
        if error.error_code != "BAD_REQUEST":
            raise
        write()


def remove(client: MlflowClient, name: str, alias: str) -> None:
    """Remove an alias.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"removing the alias {alias!r} of {name!r}"):
        client.delete_registered_model_alias(name, alias)
