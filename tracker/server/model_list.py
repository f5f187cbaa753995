"""What the page of registered models shows of each, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.record import registered
from tracker.record.on_behalf import Caller
from tracker.record.versions import Model
from tracker.server.registered import Lineage, lineage
from tracker.server.view import View
from tracker.server.wording import literal

VERSIONS = 20
"""Of one model; those with an alias come in any case."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A registered model on the page.

    Attributes:
        model: The model.
        versions: Its newest versions and those with an alias, the newest first.
        total: How many versions it has.
        load_lines: The lines that load it; empty if it has no version of a checkpoint.
    """

    model: Model
    versions: tuple[Lineage, ...]
    total: int
    load_lines: str


def model_row(view: View, caller: Caller, model: Model) -> ModelRow:
    """Return what is shown of a registered model.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    found = registered.versions_of(caller, model.name)
    named = set(model.aliases.values())
    shown = [each for at, each in enumerate(found) if at < VERSIONS or each.number in named]
    lines = tuple(lineage(view, model, version) for version in shown)
    return ModelRow(model, lines, len(found), load_lines(model.name, lines))


def load_lines(name: str, versions: Sequence[Lineage]) -> str:
    """Return the lines that load a model: by an alias if it has one, else its newest version."""
    loadable = [each for each in versions if each.checkpoint is not None]
    if not loadable:
        return ""
    aliased = [each for each in loadable if each.aliases]
    chosen = aliased[0] if aliased else loadable[0]
    place = f"@{chosen.aliases[0]}" if aliased else f"/{chosen.version.number}"
    return f"import tracker\nmodel = tracker.load_model({literal(f'models:/{name}{place}')})"
