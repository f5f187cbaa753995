"""`TrackerCheckpoint` for the Trainer of ``import lightning``."""

from __future__ import annotations

from tracker.integrations.lightning.versions import ADVICE

try:
    import lightning
    from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import MLFlowLogger
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(ADVICE, name=error.name) from error

from tracker.integrations.lightning.callback import SavesToMlflow
from tracker.integrations.lightning.checkpoint_io import ReadsAndWritesUris

__all__ = ["AutomaticCheckpoint", "TrackerCheckpoint", "TrackerCheckpointIO"]


class TrackerCheckpointIO(ReadsAndWritesUris, CheckpointIO):
    """Lets a Trainer load checkpoints by URI, also where there is no `TrackerCheckpoint`.

    Args:
        checkpoint_io: The plugin for paths of files; Lightning's own by default.

    Example:
        >>> trainer = Trainer(plugins=[TrackerCheckpointIO()])
        >>> trainer.test(model, loader, ckpt_path="runs:/0a1b2c/epoch-3-step-120")
    """

    default_io = TorchCheckpointIO
    lightning_version = lightning.__version__


class TrackerCheckpoint(SavesToMlflow, ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, with tracker's checkpoints in MLflow.

    It takes the arguments of ``ModelCheckpoint``, saves when that would and keeps what that would.
    A checkpoint has the model, which `tracker.load_model` rebuilds (the LightningModule need not
    call ``save_hyperparameters()``), the metrics of the moment, and all that Lightning needs to
    resume: loops, optimizers, schedulers, callbacks, precision, data, and, which Lightning's own
    have not, the random state of every process. It is saved in the background; when ``fit`` returns
    or raises, everything is safe.

    ``best_model_path``, ``last_model_path`` and ``best_k_models`` hold URIs,
    ``runs:/RUN_ID/epoch-3-step-120``, that `tracker.load_model` and ``ckpt_path=`` of ``fit``,
    ``validate``, ``test`` and ``predict`` take. So does ``ckpt_path`` of any other checkpoint.
    ``ckpt_path="last"`` is the newest of the run, whether or not ``save_last`` is set.

    The run is, in this order: ``run_id``; that of the Trainer's ``MLFlowLogger``; MLflow's active
    run; a new one in the experiment in force, which ends with ``fit``.

    Args:
        dirpath: Of no effect, with a warning, as ``filename`` is: there are no files.
        filename: Of no effect.
        monitor: The metric by which checkpoints are kept; None: the newest.
        verbose: Say what is saved.
        save_last: Keep the newest, too, as ``last_model_path``; it is no copy.
        save_top_k: How many with the best ``monitor`` stay: -1 all, 0 none.
        save_on_exception: Save when training raises.
        save_weights_only: Leave out what it takes to resume.
        mode: ``"min"`` or ``"max"``.
        auto_insert_metric_name: Of no effect.
        every_n_train_steps: Save after so many steps.
        train_time_interval: Save after so much time.
        every_n_epochs: Save after so many epochs; 1 if none of the three is given.
        save_on_train_epoch_end: Save at the end of training's epoch and not of validation.
        enable_version_counter: Of no effect: one step has one checkpoint.
        run_id: The MLflow run, instead of the one above.
        tags: Text by name, for every checkpoint.
        example_input: See `tracker.log_checkpoint`.
        random_state: Restore the random state when training is resumed.

    Raises:
        InvalidArgumentError: An argument is not usable.
        lightning.pytorch.utilities.exceptions.MisconfigurationException: As ModelCheckpoint raises.

    Example:
        >>> best = TrackerCheckpoint(monitor="val_loss", save_top_k=3, save_last=True)
        >>> trainer = Trainer(max_epochs=20, callbacks=[best])
        >>> trainer.fit(model, train_loader, val_loader)
        >>> model = tracker.load_model(best.best_model_path)
    """

    import_name = "lightning"
    trainer_class = Trainer
    logger_class = MLFlowLogger
    io_class = TrackerCheckpointIO


class AutomaticCheckpoint(TrackerCheckpoint):
    """What `tracker.autolog` gives a Trainer; it does nothing beside a `TrackerCheckpoint`."""

    is_automatic = True
