"""Aliases move from version to version, and back.

An alias moves in one request: at every moment it leads to one version. Of two who move it at once
the later one wins; either may miss the other in the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.record import aliases, versions
from tracker.record.aliases import Held
from tracker.record.runs import now

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def move(name: str, alias: str, number: int) -> None:
    """Give an alias to a version, after a note of who has it.

    Raises:
        NotFoundError: There is no such model or version; lists what there is.
        RecordError: MLflow refused or could not be reached.
    """
    client = versions.reachable_client()
    model = versions.existing_model(client, name)
    holder = model.aliases.get(alias)
    if holder == number:
        return
    _check_exists(client, name, number)
    if holder is not None:
        before = [*aliases.history(model, alias), Held(holder, now())]
        aliases.write_history(client, name, alias, before)
    aliases.move(client, name, alias, number)


def back(name: str, alias: str) -> int:
    """Give an alias back to the version that had it before; return its number.

    Versions that were deleted since are passed over.

    Raises:
        InvalidArgumentError: No version had it before.
        NotFoundError: There is no such model.
        RecordError: MLflow refused or could not be reached.
    """
    client = versions.reachable_client()
    model = versions.existing_model(client, name)
    there = {each.number for each in versions.versions(client, name)}
    left = list(aliases.history(model, alias))
    while left:
        previous = left.pop().version
        if previous in there and previous != model.aliases.get(alias):
            aliases.move(client, name, alias, previous)
            aliases.write_history(client, name, alias, left)
            return previous
    if alias not in model.aliases:
        listed = ", ".join(sorted(model.aliases)) or "none"
        raise NotFoundError(f"Model {name!r} has no alias {alias!r}. Aliases: {listed}.")
    raise InvalidArgumentError(
        f"The alias {alias!r} of {name!r} can't go back: no other version that still exists had it "
        f"before version {model.aliases[alias]}."
    )


def remove(name: str, alias: str) -> None:
    """Remove an alias; its version is noted, so that `back` brings it back.

    Raises:
        NotFoundError: There is no such model or alias; lists those there are.
        RecordError: MLflow refused or could not be reached.
    """
    client = versions.reachable_client()
    model = versions.existing_model(client, name)
    holder = model.aliases.get(alias)
    if holder is None:
        listed = ", ".join(sorted(model.aliases)) or "none"
        raise NotFoundError(f"Model {name!r} has no alias {alias!r}. Aliases: {listed}.")
    before = [*aliases.history(model, alias), Held(holder, now())]
    aliases.write_history(client, name, alias, before)
    aliases.remove(client, name, alias)


def _check_exists(client: Client, name: str, number: int) -> None:
    there = [each.number for each in versions.versions(client, name)]
    if number not in there:
        listed = ", ".join(map(str, there[:20])) or "none"
        raise NotFoundError(f"Model {name!r} has no version {number}. Versions: {listed}.")
