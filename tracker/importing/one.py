"""Imports one checkpoint: digest, read, complete, describe, save."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.checkpoint import Checkpoint
from tracker.errors import RecordUnreachableError, TrackerError
from tracker.importing import present
from tracker.importing.contents import Contents
from tracker.importing.describing import snapshot_of
from tracker.importing.destinations import Destinations
from tracker.importing.discover import Found
from tracker.importing.hugging_face import build_model
from tracker.importing.outcome import ImportedCheckpoint
from tracker.importing.places import LocalPlace, RunPlace
from tracker.importing.reading import (
    check_unchanged,
    completed,
    digest_of,
    metric_step,
    read,
    stamps,
)
from tracker.importing.saving import sanitised, save_now
from tracker.record.runs import Run
from tracker.saving.request import METRIC_STEP, check_request
from tracker.saving.snapshot import Snapshot
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from torch import nn

_MAX_TAG = 4000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with every checkpoint.

    Attributes:
        experiment: The experiment's name, or None for the one in force.
        run_id: The run to import into, or None.
        run_name: The name of a run for all of them, or None.
        model: The model whose weights they are, or None.
        dry_run: Whether to say only what would be imported.
    """

    experiment: str | None = None
    run_id: str | None = None
    run_name: str | None = None
    model: nn.Module | None = None
    dry_run: bool = False


@dataclass(slots=True)
class One:
    """Imports one checkpoint after the other.

    Attributes:
        uri: MLflow's tracking store.
        to: Where they go.
        wish: What is to be done.
        experiment: The name of the experiment, if it is there.
    """

    uri: str
    to: Destinations
    wish: Wish
    experiment: str | None
    _built: dict[str, nn.Module] = field(default_factory=dict)
    _promised: dict[tuple[object, ...], str] = field(default_factory=dict)

    def bring(self, place: LocalPlace | RunPlace, found: Found) -> ImportedCheckpoint:
        """Import a checkpoint; return what became of it.

        Raises:
            RecordUnreachableError: MLflow could not be reached; others would fail alike.
        """
        source = _text(place.label(found.name))
        try:
            with place.opened(found) as folder:
                return self._bring(place, found, folder, source)
        except RecordUnreachableError:
            raise
        except TrackerError as error:
            return ImportedCheckpoint(source, "failed", reason=_reason(error, found))
        except Exception as error:  # noqa: BLE001 - one odd file must not keep the others out
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return ImportedCheckpoint(source, "failed", reason=_text(reason))

    def _bring(
        self, place: LocalPlace | RunPlace, found: Found, folder: Path, source: str
    ) -> ImportedCheckpoint:
        before = stamps(folder, found)
        digest = digest_of(folder, found)
        run = self.to.known(place, found)
        known = self._known(place, run, digest)
        if known is not None and not self._improves(known):
            return _already(source, Checkpoint(known), "was imported before")
        contents = read(folder, found, copy=not self.wish.dry_run)
        check_unchanged(before, folder, found)
        contents = completed(contents, found, self.to.points(place))
        snapshot, notes = self._snapshot(contents, found, folder, source)
        outcome = _described(source, contents, snapshot, (*contents.notes, *notes))
        if run is not None:
            rival = present.at_place(run.id, contents.epoch, contents.step)
            if rival is not None and (known is None or rival.id != known.id):
                if present.has_same_weights(rival, snapshot):
                    return _already(source, Checkpoint(rival), "holds the same weights")
                return replace(outcome, status="failed", reason=_taken(rival.id, contents))
        if self.wish.dry_run:
            return self._promise(outcome, place, found, digest)
        saved = self._save(outcome, place, found, snapshot, contents, digest)
        if known is not None and saved.checkpoint is not None:
            present.supersede(self.to.client, self.uri, known, saved.checkpoint.id)
        return saved

    def _improves(self, known: CheckpointRecord) -> bool:
        """Return whether weights that were imported alone are to get a model now."""
        return known.rebuild == "none" and self.wish.model is not None

    def _known(
        self, place: LocalPlace | RunPlace, run: Run | None, digest: str
    ) -> CheckpointRecord | None:
        """Return what was made of the same file before: in the run that was named, or anywhere."""
        if run is not None and self.to.named(place) is not None:
            return present.by_digest(digest, run_id=run.id)
        return None if self.experiment is None else present.by_digest(digest, self.experiment)

    def _save(
        self,
        outcome: ImportedCheckpoint,
        place: LocalPlace | RunPlace,
        found: Found,
        snapshot: Snapshot,
        contents: Contents,
        digest: str,
    ) -> ImportedCheckpoint:
        metrics, dropped = sanitised(contents)
        tags = {
            present.DIGEST: digest,
            "import_source": _text(place.origin(found.name))[:_MAX_TAG],
            "import_layout": contents.layout,
        }
        run = self.to.made(place, found)
        at = metric_step(contents, self.to.history_in(place, run))
        if at is not None:
            tags[METRIC_STEP] = str(at)
        request = check_request(contents.epoch, contents.step, metrics, tags)
        record = save_now(snapshot, request, run, self.uri)
        return replace(
            outcome,
            status="imported",
            checkpoint=Checkpoint(record),
            metrics=metrics,
            run=record.run_id,
            notes=(*outcome.notes, *dropped),
        )

    def _promise(
        self, outcome: ImportedCheckpoint, place: LocalPlace | RunPlace, found: Found, digest: str
    ) -> ImportedCheckpoint:
        """Say of a dry run what would be, as if those before it were there."""
        run = self.to.named(place) or self.to.run_name_of(place, found)
        rivals: list[tuple[object, ...]] = [(digest,)]
        if outcome.epoch is not None or outcome.step is not None:
            rivals.append((run, outcome.epoch, outcome.step))
        for rival in rivals:
            if rival in self._promised:
                same = f"{self._promised[rival]} comes first, and is the same file or place"
                return replace(outcome, status="there already", reason=same, run=run)
            self._promised[rival] = outcome.source
        return replace(outcome, status="would be imported", run=run)

    def _snapshot(
        self, contents: Contents, found: Found, folder: Path, source: str
    ) -> tuple[Snapshot, list[str]]:
        """Return what is stored: with the model that was given, or that of a config.json."""
        if self.wish.model is not None:
            return snapshot_of(contents, self.wish.model, source)
        if not contents.architecture or not any(f.endswith("config.json") for f in found.files):
            return snapshot_of(contents, None, source)
        try:
            model = self._built_of((folder / found.files[0]).parent, contents.architecture)
            return snapshot_of(contents, model, source)
        except TrackerError as error:
            snapshot, notes = snapshot_of(contents, None, source)
            return snapshot, [f"without its architecture: {error}", *notes]

    def _built_of(self, folder: Path, name: str) -> nn.Module:
        """Return the model of a folder, made once for all that have the same configuration."""
        key = (folder / "config.json").read_text(errors="replace")
        if key not in self._built:
            self._built = {key: build_model(folder, name)}
        return self._built[key]


def _reason(error: TrackerError, found: Found) -> str:
    """Return why one was not imported; its path, which stands before it anyway, only once."""
    path, separator, reason = _text(str(error)).partition(": ")
    return reason if separator and path.endswith(_text(found.files[0])) else _text(str(error))


def _described(
    source: str, contents: Contents, snapshot: Snapshot, notes: tuple[str, ...]
) -> ImportedCheckpoint:
    return ImportedCheckpoint(
        source,
        "would be imported",
        layout=contents.layout,
        epoch=contents.epoch,
        step=contents.step,
        metrics=dict(contents.metrics),
        params=dict(snapshot.description.architecture.params),
        tensors=len(contents.weights),
        notes=tuple(_text(note) for note in notes),
    )


def _already(source: str, checkpoint: Checkpoint, reason: str) -> ImportedCheckpoint:
    return ImportedCheckpoint(
        source,
        "there already",
        checkpoint,
        f"{checkpoint.id} {reason}",
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        metrics=checkpoint.metrics,
        params=checkpoint.params,
        run=checkpoint.run_id,
    )


def _taken(rival: str, contents: Contents) -> str:
    counts = {"epoch": contents.epoch, "step": contents.step}
    place = ", ".join(f"{name} {value}" for name, value in counts.items() if value is not None)
    return (
        f"{place} of its run is {rival} already, with other weights; nothing was replaced. Import "
        "it into a run of its own (--run-name)."
    )


def _text(text: str) -> str:
    """Return a text that can be printed, whatever bytes the names in it are of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
