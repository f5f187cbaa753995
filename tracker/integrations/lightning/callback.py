"""`TrackerCheckpoint` but for Lightning's own class: what differs from ModelCheckpoint.

When to save and what to keep ModelCheckpoint itself decides. It is given URIs in the place of
paths, by the methods that it has for that, and Lightning's plugin for files is wrapped in one that
writes to MLflow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import fsspec

from tracker.errors import InvalidArgumentError, TrackerError, TrackerWarning
from tracker.integrations.lightning import random_numbers
from tracker.integrations.lightning.checkpoint_io import ReadsAndWritesUris
from tracker.integrations.lightning.last import find_last
from tracker.integrations.lightning.place import RUNS, SCHEME, place, uri_of
from tracker.integrations.lightning.run import TrainingRun, end_own, find_run
from tracker.integrations.lightning.saving import Extras
from tracker.integrations.lightning.trainers import check_trainer
from tracker.record.runs import check_run_id
from tracker.saving.request import check_request

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import ModelCheckpoint as _ModelCheckpoint
else:
    _ModelCheckpoint = object

# Where tracker is installed, fsspec knows it by the entry point; elsewhere by this.
fsspec.register_implementation(SCHEME, f"{__package__}.filesystem.TrackerFileSystem", clobber=True)


class SavesToMlflow(_ModelCheckpoint):
    """ModelCheckpoint's behaviour, with checkpoints in MLflow; see `TrackerCheckpoint`."""

    import_name: ClassVar[str]
    """The name that this Lightning is imported by."""

    is_automatic: ClassVar[bool] = False
    """Whether it does nothing beside one that the user has given to the Trainer."""

    trainer_class: ClassVar[type[Any]]
    logger_class: ClassVar[type[Any]]
    io_class: ClassVar[type[ReadsAndWritesUris]]

    def __init__(
        self,
        dirpath: Any = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
        *,
        run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        example_input: Any = None,
        random_state: bool = True,
    ) -> None:
        if dirpath is not None or filename is not None:
            warnings.warn(
                f"dirpath={dirpath!r} and filename={filename!r} have no effect on a "
                "TrackerCheckpoint: its checkpoints go to MLflow, as epoch-E-step-S of the run.",
                TrackerWarning,
                stacklevel=2,
            )
        check_run_id(run_id)
        check_request(None, None, None, tags)
        # Older versions of Lightning do not know it.
        newer: dict[str, Any] = {"save_on_exception": True} if save_on_exception else {}
        super().__init__(
            monitor=monitor,
            verbose=verbose,
            # The last is a name for one of those that there are, and no copy.
            save_last=None if save_last is None else bool(save_last),
            save_top_k=save_top_k,
            save_weights_only=save_weights_only,
            mode=mode,
            auto_insert_metric_name=auto_insert_metric_name,
            every_n_train_steps=every_n_train_steps,
            train_time_interval=train_time_interval,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=save_on_train_epoch_end,
            enable_version_counter=enable_version_counter,
            **newer,
        )
        self._given_run_id = run_id
        self._extras = Extras(dict(tags or {}), example_input)
        self._restores_random_state = random_state
        self._random_state: Mapping[str, Any] | None = None
        self._run: TrainingRun | None = None
        self._moment: tuple[int, int] | None = None

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the checkpoints; None before the first fit, or while it is unknown."""
        return self._given_run_id if self._run is None else self._run.run_id

    # Where checkpoints go.

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Let the Trainer read and write URIs; before training, find or start the run.

        Raises:
            InvalidArgumentError: The Trainer is of the other Lightning, or its strategy writes
                files of its own.
            NotFoundError: There is no such run.
            RecordError: MLflow refused.
        """
        check_trainer(trainer, self.trainer_class, self.import_name)
        io = self._io(trainer)
        if self not in _callbacks(trainer):
            self.save_top_k, self.save_last, self.save_on_exception = 0, None, False
            return
        if stage != "fit" or trainer.fast_dev_run:
            return
        found: Any = self._found_run(trainer, io) if trainer.is_global_zero else None
        found = trainer.strategy.broadcast(found)
        if isinstance(found, TrackerError):
            raise found
        self._run = io.handover.run = found
        io.handover.is_open = True
        self.dirpath = f"{RUNS}{found.label}"

    def _found_run(self, trainer: Any, io: ReadsAndWritesUris) -> TrainingRun | TrackerError:
        """Return the run, or the error, which is for every rank, lest the others wait."""
        known = io.handover.run
        try:
            if io.handover.is_open and known is not None:  # by another callback of this Trainer
                if self._given_run_id not in (None, known.run_id):
                    raise InvalidArgumentError(
                        f"run_id={self._given_run_id!r}, but another TrackerCheckpoint of this "
                        f"Trainer saves to the run {known.run_id!r}: all of one save to one run."
                    )
                return known
            return find_run(self._logger(trainer), self._given_run_id, known)
        except TrackerError as error:
            return error

    def _io(self, trainer: Any) -> ReadsAndWritesUris:
        """Return the plugin that reads and writes URIs, which the Trainer is given if need be."""
        io = trainer.strategy.checkpoint_io
        if not isinstance(io, ReadsAndWritesUris):
            io = trainer.strategy.checkpoint_io = self.io_class(io)
        return io

    def _logger(self, trainer: Any) -> Any:
        return next((each for each in trainer.loggers if isinstance(each, self.logger_class)), None)

    # What stands where ModelCheckpoint has files.

    def format_checkpoint_name(
        self,
        metrics: dict[str, Any],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """Return the URI of the checkpoint of the moment: ``runs:/RUN_ID/epoch-3-step-120``.

        Args:
            metrics: ``epoch`` and ``step``, where no hook of the Trainer runs.
            filename: Of no effect; there are no files.
            ver: Of no effect.
            prefix: Of no effect.
        """
        at = self._moment or (int(metrics.get("epoch", 0)), int(metrics.get("step", 0)))
        return place("" if self._run is None else self._run.label, *at)

    def file_exists(self, filepath: Any, trainer: Any) -> bool:
        """Return whether a file is in the way; a checkpoint replaces that of the same step."""
        return uri_of(filepath) is None and super().file_exists(filepath, trainer)

    def to_yaml(self, filepath: Any = None) -> None:
        """Write the URIs of the best checkpoints and their scores to a file.

        Args:
            filepath: By default ``best_k_models.yaml`` in the working directory.
        """
        super().to_yaml("best_k_models.yaml" if filepath is None else filepath)

    def _find_last_checkpoints(self, trainer: Any) -> set[str]:
        # Lightning has no public way to say what ckpt_path="last" is.
        io = self._io(trainer)
        return find_last(self._logger(trainer), self._given_run_id, io.handover.run)

    def needed(self) -> set[str]:
        """Return the URIs of the checkpoints that this callback holds."""
        held = {*self.best_k_models, self.best_model_path, self.last_model_path}
        return {uri for uri in held if uri}

    # When to save: ModelCheckpoint knows. What all callbacks of the Trainer ask for goes together.

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Restore the random numbers of a training that is resumed."""
        super().on_train_start(trainer, pl_module)
        saved, self._random_state = self._random_state, None
        if saved is not None and self._restores_random_state and self._is_last(trainer):
            random_numbers.restore(saved, trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, if it is time."""
        with self._gathering(trainer):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Save, if it is time."""
        with self._gathering(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Save, if it is time."""
        with self._gathering(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the last, if it is time."""
        with self._gathering(trainer):
            super().on_train_end(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Save, if that is wanted; then wait until everything is safe, and end an own run."""
        if self._run is None:
            return
        handover = self._io(trainer).handover
        try:
            with self._gathering(trainer, tell=False):
                super().on_exception(trainer, pl_module, exception)
        finally:
            if self._is_last(trainer):
                handover.wait()
                status = "KILLED" if isinstance(exception, KeyboardInterrupt) else "FAILED"
                self._close(trainer, status)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Wait until every checkpoint is safe, and end an own run.

        Raises:
            TrackerError: A checkpoint could not be saved, and nobody was told of it yet.
        """
        super().teardown(trainer, pl_module, stage)
        handover = self._io(trainer).handover
        if stage == "fit" and handover.is_open and self._is_last(trainer):
            try:
                handover.flush()
            except BaseException:
                self._close(trainer, "FAILED")
                raise
            self._close(trainer, "FINISHED")

    def _close(self, trainer: Any, status: str) -> None:
        handover = self._io(trainer).handover
        handover.is_open = False
        if handover.run is not None and trainer.is_global_zero:
            end_own(handover.run, status)

    @contextmanager
    def _gathering(self, trainer: Any, *, tell: bool = True) -> Iterator[None]:
        self._moment = trainer.current_epoch, trainer.global_step
        needed = partial(_held, trainer)
        gathering = self._io(trainer).gathering(
            trainer, self._extras, needed, last=self._is_last(trainer), tell=tell
        )
        try:
            with gathering:
                yield
        finally:
            self._moment = None

    def _is_last(self, trainer: Any) -> bool:
        return self is _callbacks(trainer)[-1]

    # What is in a checkpoint.

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Put the random states of all ranks into a dump that a TrackerCheckpoint asked for.

        Others are written to files, which have to be loadable without them.
        """
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._io(trainer).is_gathering and random_numbers.KEY not in checkpoint:
            checkpoint[random_numbers.KEY] = random_numbers.of_all_ranks()

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Take the random states out of Lightning's dump."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self._random_state = checkpoint.get(random_numbers.KEY)


def _callbacks(trainer: Any) -> list[SavesToMlflow]:
    """Return those that save: one of `tracker.autolog` does so where there are no others."""
    found = [each for each in trainer.callbacks if isinstance(each, SavesToMlflow)]
    return [each for each in found if not each.is_automatic] or found


def _held(trainer: Any) -> set[str]:
    """Return the URIs that must stay: what callbacks hold, and what training was resumed from."""
    held = {uri for callback in _callbacks(trainer) for uri in callback.needed()}
    resumed = uri_of(trainer.ckpt_path) if trainer.ckpt_path else None
    return held | ({resumed} if resumed else set())
