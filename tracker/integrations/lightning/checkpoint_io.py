"""Lightning's plugin for writing and reading checkpoints, for URIs of tracker and for files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.errors import FormatError, InvalidArgumentError, NotFoundError
from tracker.format import StoredCheckpoint, open_checkpoint
from tracker.integrations.lightning.place import uri_of
from tracker.integrations.lightning.run import at
from tracker.integrations.lightning.saving import ENTRY, Extras, Handover
from tracker.integrations.lightning.training import put_together
from tracker.loading.fetch import fetch, verified
from tracker.loading.training_state import values_of
from tracker.loading.weights import restore_state_dict
from tracker.saving.spool import CHECKPOINT

if TYPE_CHECKING:
    from lightning.fabric.plugins import CheckpointIO as _CheckpointIO
else:
    _CheckpointIO = object

VERSION = "pytorch-lightning_version"


class ReadsAndWritesUris(_CheckpointIO):
    """Saves and loads tracker's checkpoints by their URIs; leaves paths of files to another plugin.

    Args:
        checkpoint_io: The plugin for files; Lightning's own by default.
    """

    default_io: Callable[[], _CheckpointIO]
    """What makes the plugin for files."""

    lightning_version: str
    """The version of Lightning that a dump without one counts as."""

    def __init__(self, checkpoint_io: _CheckpointIO | None = None) -> None:
        super().__init__()
        self.files = type(self).default_io() if checkpoint_io is None else checkpoint_io
        self.handover = Handover()
        self._depth = 0
        self._trainer: Any = None
        self._needed: Callable[[], Collection[str]] = tuple
        self._extras = Extras()

    @property
    def is_gathering(self) -> bool:
        """Whether a callback that saves to MLflow is asking."""
        return self._depth > 0

    @contextlib.contextmanager
    def gathering(
        self,
        trainer: Any,
        extras: Extras,
        needed: Callable[[], Collection[str]],
        *,
        last: bool,
        tell: bool = True,
    ) -> Iterator[None]:
        """Note what a callback asks for while the block runs; after the last, hand it over.

        Args:
            trainer: The Trainer.
            extras: What the callback adds to its checkpoints.
            needed: Returns the URIs that the Trainer's callbacks hold.
            last: Whether this is the last of the callbacks.
            tell: Raise what an earlier checkpoint failed with.
        """
        self._trainer, self._needed = trainer, needed
        before, self._extras = self._extras, extras
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._extras = before
        if last and self._depth == 0:
            self.handover.hand_over(trainer, needed, tell=tell)

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        """Save a dump of Lightning's: by a URI into MLflow, else into a file.

        Raises:
            InvalidArgumentError: The URI is none that a `TrackerCheckpoint` of this Trainer made.
        """
        uri = uri_of(path)
        if uri is None:
            self.files.save_checkpoint(checkpoint, path, storage_options=storage_options)
            return
        if storage_options is not None:
            raise InvalidArgumentError(
                f"storage_options={storage_options!r}: checkpoints in MLflow have no such options."
            )
        if self._trainer is None:
            raise InvalidArgumentError(
                f"{path} can't be saved: there is no TrackerCheckpoint among the callbacks of this "
                "Trainer, which is what saves to MLflow."
            )
        self.handover.ask(uri, checkpoint, self._extras)
        if self._depth == 0:
            self.handover.hand_over(self._trainer, self._needed)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the dump of a checkpoint.

        Args:
            path: ``runs:/RUN_ID/epoch-3-step-120``, ``models:/…``, or the path of a file.
            map_location: A device for the tensors; by default they are on the CPU, and Lightning
                puts them where they belong.
            weights_only: Of no effect on a URI: tracker never unpickles.

        Raises:
            NotFoundError: There is no such checkpoint.
            CorruptCheckpointError: The bytes are not those that were written.
        """
        uri = uri_of(path)
        if uri is None:
            return self._load_file(path, map_location, weights_only)
        run = self.handover.run
        with at(None if run is None else run.tracking_uri):
            dump = read_dump(self._stored(uri), self.lightning_version)
        if isinstance(map_location, str | torch.device):
            return {key: _moved(value, map_location) for key, value in dump.items()}
        return dump

    def _load_file(self, path: Any, map_location: Any, weights_only: bool | None) -> dict[str, Any]:
        # Older versions of Lightning have no weights_only.
        given = {"map_location": map_location, "weights_only": weights_only}
        return self.files.load_checkpoint(
            path, **{name: value for name, value in given.items() if value is not None}
        )

    def _stored(self, uri: str) -> StoredCheckpoint:
        """Return the files of a checkpoint; one of this process may still be on its way.

        While MLflow can't be reached it lies in the spool, whole.
        """
        ticket = self.handover.pending.get(uri)
        if ticket is None:
            return files_of(as_checkpoint(uri))
        self.handover.wait()
        spooled = ticket.spooled
        if spooled is not None:
            with contextlib.suppress(NotFoundError, FormatError):  # it may just have been delivered
                return open_checkpoint(spooled / CHECKPOINT)
        return files_of(Checkpoint(ticket.result()))

    def remove_checkpoint(self, path: Any) -> None:
        """Give up a checkpoint, or remove a file.

        The checkpoint is deleted when a newer one is in MLflow, unless it is registered or another
        callback of the Trainer holds it.
        """
        uri = uri_of(path)
        if uri is None:
            self.files.remove_checkpoint(path)
        else:
            self.handover.give_up(uri)

    def teardown(self) -> None:
        """Tear down the plugin for files."""
        self.files.teardown()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: what was handed over stays in this one."""
        run, fresh = self.handover.run, Handover()
        fresh.run = run
        return {**vars(self), "handover": fresh, "_trainer": None, "_needed": tuple, "_depth": 0}


def _moved(value: Any, device: str | torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return type(value)((key, _moved(item, device)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(_moved(item, device) for item in value)
    return value


def files_of(checkpoint: Checkpoint) -> StoredCheckpoint:
    """Return all files of a checkpoint, opened.

    Raises:
        NotFoundError: They are gone.
        CorruptCheckpointError: The manifest is not the one that was written.
    """
    return fetch(checkpoint.record, check=verified(None))


def read_dump(stored: StoredCheckpoint, lightning_version: str) -> dict[str, Any]:
    """Return a checkpoint as Lightning dumps one.

    One that was logged without Lightning has weights, epoch and step, which is what ``validate``,
    ``test`` and ``predict`` need.

    Raises:
        FormatError: It is not what a `TrackerCheckpoint` saves.
        CorruptCheckpointError: The bytes are not those that were written.
    """
    stored.verify(again=False)
    weights = restore_state_dict(stored, verify=False)
    value = values_of(stored).get(ENTRY)
    if value is None:
        return {
            "state_dict": weights,
            "epoch": stored.manifest.epoch or 0,
            "global_step": stored.manifest.step or 0,
            VERSION: lightning_version,
        }
    if not isinstance(value, dict) or not {"dump", "keys", "more"} <= value.keys():
        raise FormatError(f"state.{ENTRY}: is not what a TrackerCheckpoint saves.")
    return put_together(value, weights)
