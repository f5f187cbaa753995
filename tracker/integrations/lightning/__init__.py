"""Lightning: its ModelCheckpoint, with tracker's checkpoints in MLflow.

Lightning is installed under two names. This is for the one that the program has imported,
``lightning`` where it can't tell; ``tracker.integrations.pytorch_lightning`` is for the other.

Example:
    >>> from tracker.integrations.lightning import TrackerCheckpoint
    >>> trainer = Trainer(callbacks=[TrackerCheckpoint(monitor="val_loss")])
"""

from typing import TYPE_CHECKING

from tracker.integrations.lightning.versions import is_standalone_wanted

if TYPE_CHECKING or not is_standalone_wanted():
    from tracker.integrations.lightning.for_lightning import (
        AutomaticCheckpoint,
        TrackerCheckpoint,
        TrackerCheckpointIO,
    )
else:
    from tracker.integrations.lightning.for_pytorch_lightning import (
        AutomaticCheckpoint,
        TrackerCheckpoint,
        TrackerCheckpointIO,
    )

__all__ = ["AutomaticCheckpoint", "TrackerCheckpoint", "TrackerCheckpointIO"]
