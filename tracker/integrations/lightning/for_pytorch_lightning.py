"""`TrackerCheckpoint` for the Trainer of ``import pytorch_lightning``."""

from __future__ import annotations

from tracker.integrations.lightning.versions import ADVICE

try:
    import pytorch_lightning
    from lightning_fabric.plugins import CheckpointIO, TorchCheckpointIO
    from pytorch_lightning import Trainer
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import MLFlowLogger
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(ADVICE, name=error.name) from error

from tracker.integrations.lightning.callback import SavesToMlflow
from tracker.integrations.lightning.checkpoint_io import ReadsAndWritesUris

__all__ = ["AutomaticCheckpoint", "TrackerCheckpoint", "TrackerCheckpointIO"]


class TrackerCheckpointIO(ReadsAndWritesUris, CheckpointIO):  # type: ignore[misc]
    """The plugin of the same name of ``lightning``, for ``pytorch_lightning``."""

    default_io = TorchCheckpointIO
    lightning_version = pytorch_lightning.__version__


class TrackerCheckpoint(SavesToMlflow, ModelCheckpoint):  # type: ignore[misc]
    """The callback of the same name of ``lightning``, for ``pytorch_lightning``."""

    import_name = "pytorch_lightning"
    trainer_class = Trainer
    logger_class = MLFlowLogger
    io_class = TrackerCheckpointIO


class AutomaticCheckpoint(TrackerCheckpoint):
    """What `tracker.autolog` gives a Trainer; it does nothing beside a `TrackerCheckpoint`."""

    is_automatic = True
