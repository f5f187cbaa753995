"""`tracker.integrations.lightning`, for the Trainer of ``import pytorch_lightning``."""

from tracker.integrations.lightning.for_pytorch_lightning import (
    TrackerCheckpoint,
    TrackerCheckpointIO,
)

__all__ = ["TrackerCheckpoint", "TrackerCheckpointIO"]
